/**
 * Every setting there is: shape, unit, default and what is allowed. The environment's names, the mistakes shown at start
 * and docs/settings.md are all made from here, so a setting cannot exist without being documented.
 */
import { z } from 'zod'
import { secretSchema, type Secret } from '../domain/secret.ts'
import { cron, databaseUrl, etcdEndpoints, file, ipAddress, isUrl, masterKeys, port, portRange, slug, text } from './kinds.ts'

const dayMs = 86_400_000
const secondMs = 1_000

const s3 = z.strictObject({
  endpoint: z
    .string()
    .refine((url) => isUrl(url, ['https:']), 'is not an https URL')
    .meta({ allowed: 'https://HOST[:PORT]', description: 'Where the S3 store answers. Backups travel over TLS only.' }),
  region: z.string().min(1).default('us-east-1').describe('The region to sign requests for.').meta({ allowed: 'any text' }),
  bucket: text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket').describe('Made if it does not exist.'),
  accessKeyId: z.string().min(1).meta({ allowed: 'any text', description: 'The key id to sign requests with.' }),
  secretAccessKey: secretSchema.meta({ allowed: 'any text', description: 'Its secret. Never enters a container of a customer.' }),
  caFile: file.optional().describe('The authority that signed the store’s certificate, if it is not a public one.'),
  forcePathStyle: z.boolean().default(true).describe('Whether the bucket stands in the path of a URL, not in its host name.'),
})

const etcd = z
  .strictObject({
    endpoints: etcdEndpoints.describe('Where etcd’s members answer, in place of the embedded ones.'),
    caFile: file.optional().describe('The authority that signed their certificates, if it is not a public one.'),
    certFile: file
      .optional()
      .describe('The client certificate to show them. Where etcd runs with `client-cert-auth` it must carry no common name, or its gateway refuses it.'),
    keyFile: file.optional().describe('The key of that certificate.'),
    user: text(/^[A-Za-z0-9._-]{1,64}$/, 'letters, digits, dots, dashes and underscores, at most 64')
      .default('root')
      .describe('A user with the role `root`: each cluster gets a user and a role of its own.'),
    passwordFile: file.describe('Holds that user’s password. Authentication has to be on.'),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
    path: ['keyFile'],
    error: 'goes together with certFile',
  })

const unixEngine = /^unix:\/\/(\/.+)$/
const tcpEngine = /^tcp:\/\/\[?([A-Za-z0-9.:-]+?)\]?:(\d{1,5})$/

const host = z
  .strictObject({
    name: slug.describe('The host’s name.'),
    engine: z.string().meta({
      allowed: 'unix:///PATH or tcp://HOST:PORT',
      description: 'The Docker engine: a socket of this machine, or a TCP address that speaks mutual TLS.',
    }),
    tls: z
      .strictObject({
        caFile: file.describe('The authority of the engine’s certificate.'),
        certFile: file.describe('The controller’s certificate for the engine.'),
        keyFile: file.describe('Its key.'),
      })
      .optional(),
    privateAddress: ipAddress.describe('Where the controller and other hosts reach published internal ports.'),
    publicAddress: ipAddress.optional().describe('Where customers reach the endpoints; the private address if left out.'),
  })
  .transform(({ engine, tls, ...rest }, context) => {
    const socketPath = unixEngine.exec(engine)?.[1]
    if (socketPath !== undefined && tls === undefined) return { ...rest, engine: { kind: 'socket' as const, path: socketPath } }
    const [, address, tcpPort] = tcpEngine.exec(engine) ?? []
    if (address !== undefined && tls !== undefined) {
      return { ...rest, engine: { kind: 'tls' as const, host: address, port: Number(tcpPort), ...tls } }
    }
    context.addIssue({ code: 'custom', path: ['engine'], message: engineMistake(socketPath !== undefined, address !== undefined) })
    return z.NEVER
  })

const api = z.strictObject({
  listenAddress: ipAddress.default('127.0.0.1').describe('The address the API listens on.'),
  port: port.default(7432).describe('The port of the API (HTTPS).'),
  tls: z
    .strictObject({
      certFile: file.describe('The API’s certificate; without it the installation’s own authority issues one.'),
      keyFile: file.describe('The key of that certificate.'),
    })
    .optional(),
})

const endpoint = z.strictObject({
  domain: text(/^(?=.{1,200}$)[a-z0-9-]+(\.[a-z0-9-]+)*$/, 'a lower-case domain')
    .optional()
    .describe('Databases are named under this domain, which must resolve to the hosts; without it the public host stands in every URL.'),
  publicBind: ipAddress.default('0.0.0.0').describe('The address on which endpoints are published to customers.'),
  publicHost: text(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or an address').default('localhost').describe('The host in the URLs handed out.'),
  portRange: portRange.prefault('21000-23999').describe('Ports of the endpoints; each database keeps three.'),
})

const networkPool = z
  .strictObject({
    cidr: z.cidrv4().default('10.213.0.0/16').meta({
      allowed: 'an IPv4 range such as 10.213.0.0/16',
      description: 'Project networks are cut from this range; it must not be in use elsewhere.',
    }),
    prefix: z.int().min(16).max(29).default(26).describe('Bits of the prefix of one project’s network.'),
  })
  .refine(({ cidr, prefix }) => Number(cidr.split('/')[1]) <= prefix, { path: ['prefix'], error: 'is larger than the pool itself' })

const controller = z
  .strictObject({
    concurrency: z.int().min(1).max(64).default(4).describe('Databases worked on at the same time by this controller.'),
    resyncSeconds: z.int().min(5).max(3_600).default(60).describe('Seconds until a settled database is looked at again without an event.'),
    leaseSeconds: z.int().min(5).max(600).default(60).describe('Seconds for which a controller holds a database; after a crash another takes over then.'),
    passTimeoutMs: z.int().min(1_000).max(600_000).default(45_000).describe('Milliseconds one reconcile pass may take; less than the lease.'),
    effectTimeoutMs: z.int().min(500).max(300_000).default(30_000).describe('Milliseconds one call to an engine may take; less than a pass.'),
    backoffMaxSeconds: z.int().min(1).max(3_600).default(300).describe('Seconds between two tries of a pass that keeps failing, at most.'),
  })
  .refine(({ passTimeoutMs, leaseSeconds }) => passTimeoutMs < leaseSeconds * secondMs, {
    path: ['passTimeoutMs'],
    error: 'is not less than leaseSeconds: a late effect could meet the next holder of the lease',
  })
  .refine(({ passTimeoutMs, effectTimeoutMs }) => effectTimeoutMs < passTimeoutMs, {
    path: ['effectTimeoutMs'],
    error: 'is not less than passTimeoutMs',
  })

const failover = z.strictObject({
  guard: z.boolean().default(true).describe('Whether this controller shortens failovers of clusters; without it Patroni alone decides, within about twenty seconds.'),
})

const certificates = z
  .strictObject({
    lifetimeDays: z.int().min(1).max(397).default(90).describe('Days a certificate lives; it is renewed after two thirds.'),
    lifetimeSeconds: z.int().min(10).optional().describe('Seconds instead of days, to try renewals out.'),
    authorityLifetimeDays: z.int().min(30).max(7_300).default(3_650).describe('Days the installation’s authority lives; its successor comes after two thirds.'),
    authorityLifetimeSeconds: z.int().min(30).optional().describe('Seconds instead of days, to try a roll-over out.'),
  })
  .transform((given) => ({
    lifetimeMs: given.lifetimeSeconds === undefined ? given.lifetimeDays * dayMs : given.lifetimeSeconds * secondMs,
    authorityLifetimeMs:
      given.authorityLifetimeSeconds === undefined ? given.authorityLifetimeDays * dayMs : given.authorityLifetimeSeconds * secondMs,
  }))
  .refine(({ lifetimeMs, authorityLifetimeMs }) => lifetimeMs < authorityLifetimeMs, {
    path: ['authorityLifetimeDays'],
    error: 'is not more than the life of a certificate',
  })

const backups = z.strictObject({
  fullSchedule: cron.optional().describe('When full backups are taken, instead of the tier’s own schedule.'),
  incrementalSchedule: cron.optional().describe('When incremental backups are taken, instead of the tier’s own schedule.'),
  deletedRetentionDays: z.int().min(0).max(3_650).default(7).describe('Days for which the backups of a deleted database are kept.'),
})

export const settingsSchema = z
  .strictObject({
    installation: slug.default('holdfast').describe('Names everything this installation makes; never change it afterwards.'),
    stateDir: text(/^\//, 'an absolute path')
      .optional()
      .describe('Holds the master key file and what the embedded services need. Default: `$XDG_STATE_HOME/holdfast/INSTALLATION`, else under `~/.local/state`.'),
    databaseUrl: databaseUrl.optional().describe('The control database. Without it one is started as a container.'),
    masterKeys: masterKeys.optional().describe('Keys that seal what the control database keeps. Without them a file in the state directory is used, and made once.'),
    s3: s3.optional(),
    etcd: etcd.optional(),
    hosts: z
      .array(host)
      .min(1)
      .refine((hosts) => new Set(hosts.map(({ name }) => name)).size === hosts.length, 'has two hosts of the same name')
      .optional()
      .meta({ allowed: 'a list of hosts, in the environment as JSON', description: 'The Docker hosts. Without it the local engine is the only one.' }),
    api: api.prefault({}),
    endpoint: endpoint.prefault({}),
    internalPortRange: portRange.prefault('24000-27999').describe('Ports on the hosts’ private addresses for what speaks mutual TLS only.'),
    networkPool: networkPool.prefault({}),
    storageLimit: z
      .enum(['loop', 'none'])
      .default('loop')
      .describe('`loop`: each data volume is a file system of the tier’s size. `none`: the limit is shown and not enforced.'),
    copyRateMib: z
      .int()
      .min(1)
      .max(1_024)
      .optional()
      .describe('MiB a second at which the data of a member are copied from another one, at most; without it as fast as disks and network are.'),
    controller: controller.prefault({}),
    failover: failover.prefault({}),
    certificates: certificates.prefault({}),
    backups: backups.prefault({}),
    logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info').describe('The least severe messages that are logged.'),
    logPretty: z.boolean().default(false).describe('Whether logs are lines for people, not JSON.'),
    runLabel: text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, dots, dashes and underscores, at most 63')
      .optional()
      .describe('Put on every engine resource as a label, so that a test run can sweep what it made.'),
  })
  .refine(({ endpoint: { portRange: one }, internalPortRange: other }) => one.last < other.first || other.last < one.first, {
    path: ['internalPortRange'],
    error: 'overlaps endpoint.portRange',
    when: ({ value }) => bothRanges.safeParse(value).success,
  })

/** The check across groups runs beside other mistakes, as soon as the two ranges themselves are right. */
const parsedRange = z.object({ first: z.number(), last: z.number() })
const bothRanges = z.object({ endpoint: z.object({ portRange: parsedRange }), internalPortRange: parsedRange })

function engineMistake(isSocket: boolean, isTcp: boolean): string {
  if (isSocket) return 'is a socket, which takes no tls settings'
  if (isTcp) return 'is a TCP address without tls settings: whoever reaches it would own the host'
  return 'is neither a socket nor a TCP address'
}

type DeepReadonly<T> = T extends Secret | string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : { readonly [Key in keyof T]: DeepReadonly<T[Key]> }

export type Settings = DeepReadonly<z.output<typeof settingsSchema>>
export type HostSettings = NonNullable<Settings['hosts']>[number]
export type EngineSettings = HostSettings['engine']
export type EtcdSettings = NonNullable<Settings['etcd']>
export type S3Settings = NonNullable<Settings['s3']>
