/**
 * The etcd of this installation, as the controller and the members of clusters reach it: the embedded one, kept as it should
 * be, or the one of the settings.
 */
import { randomBytes } from 'node:crypto'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { z } from 'zod'
import type { EtcdAccess } from '../clients/etcd.ts'
import type { Config, EtcdSettings } from '../config.ts'
import { describeError, HoldfastError } from '../domain/errors.ts'
import type { CertificateRequest } from '../domain/ports.ts'
import { commonName, internalName } from '../domain/names.ts'
import { Secret } from '../domain/secret.ts'
import type { KeyMaterial } from '../render/rendered.ts'
import { embeddedPlaces } from './embedded.ts'
import { endpointOf, ensureEtcd, type EtcdMemberParts, type EtcdPlace, type Formation } from './etcd.ts'
import { heldCertificate } from './heldCertificate.ts'
import { keptFile } from './keptFile.ts'
import type { Preparation, Say } from './prepare.ts'
import { withProcessLock } from './processLock.ts'
import type { Report } from './progress.ts'

export interface PreparedEtcd {
  readonly access: EtcdAccess
  /** Of the embedded one; empty when it is somebody else's. */
  readonly members: readonly EtcdMemberParts[]
}

/** What the containers of clusters are told. */
export interface EtcdForMembers {
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  /** Who signed its certificates; null: the installation's own authority. */
  readonly caPem: string | null
  /** What to show it; null: the member's own certificate, or nothing when it is somebody else's. */
  readonly client: KeyMaterial | null
}

/**
 * One that was formed before and does not serve keeps nothing else from starting: databases of one member need it for
 * nothing, and the controller's duty goes on mending it.
 */
export async function prepareEtcd(into: Preparation, say: Say, signal: AbortSignal): Promise<PreparedEtcd> {
  const { config } = into
  if (config.etcd !== undefined) return { access: await configuredAccess(config.etcd), members: [] }
  const found = await embeddedEtcd(into)
  try {
    await mendEtcd(config, found, say, signal)
  } catch (error) {
    signal.throwIfAborted()
    if (!(await formationOf(config).isNoted())) throw error
    into.announce(describeError(error))
  }
  return found
}

/** One at a time on this machine: two that replace the same member would replace each other's. Nothing to do for one that is not ours. */
export async function mendEtcd(config: Config, { access, members }: PreparedEtcd, say: Say, signal: AbortSignal): Promise<void> {
  if (members.length === 0) return
  const report: Report = ({ detail }) => say(`etcd: ${detail}`)
  await withProcessLock(join(config.stateDir, 'etcd.lock'), signal, () => ensureEtcd({ access, members, formation: formationOf(config), report, signal }))
}

/** Nothing is made or started: where everything is, and with what it is reached. */
async function embeddedEtcd(into: Preparation): Promise<PreparedEtcd> {
  const { config, first, images } = into
  const image = images['etcd']
  if (image === undefined) throw new HoldfastError('Internal', 'the image etcd was not prepared')
  const settings = { installation: config.installation, image, trustPem: first.trustPem }
  const places = await etcdPlaces(into)
  const members = await Promise.all(places.map(async (place) => {
    const names = [internalName.etcd(place.ordinal), place.address]
    // by address as well: one that moves needs another certificate
    const certificate = await held(into, `etcd-${place.ordinal}-${place.address}`, { commonName: commonName.etcd(config.installation), names, usage: 'both' })
    return { settings, place, certificate }
  }))
  const { certificatePem, keyPem } = await held(into, 'etcd-client', { commonName: commonName.controller(config.installation), names: [], usage: 'client' })
  const password = new Secret((await keptFile(config, 'etcd.json', passwordSchema, { rootPassword: randomBytes(24).toString('base64url') })).rootPassword)
  return {
    access: {
      endpoints: places.map(endpointOf), certificatePem, keyPem, user: 'root', password,
      // known at once: members show what another authority signed before all of them were told
      get caPem() { return into.first.trustPem },
    },
    members,
  }
}

const passwordSchema = z.strictObject({ rootPassword: z.string().min(1) })
const placesSchema = z.strictObject({ hostIds: z.array(z.string()).min(1) })

/** A member stays on its host, whatever is added beside it; one whose host is gone goes to where the fewest are. */
async function etcdPlaces({ config, hosts }: Preparation): Promise<readonly EtcdPlace[]> {
  const ports = embeddedPlaces(config).etcd
  const spread = ports.map((_, at) => hosts[at % hosts.length]?.host.id ?? '')
  const { hostIds } = await keptFile(config, 'etcd-places.json', placesSchema, { hostIds: spread })
  const settled: string[] = hostIds.filter((id) => hosts.some(({ host }) => host.id === id))
  const fewest = (): string => hosts.map(({ host }) => host.id).toSorted((a, b) => count(settled, a) - count(settled, b))[0] ?? ''
  const now = hostIds.map((id) => {
    if (hosts.some(({ host }) => host.id === id)) return id
    const next = fewest()
    settled.push(next)
    return next
  })
  if (now.join() !== hostIds.join()) await writeFile(join(config.stateDir, 'etcd-places.json'), JSON.stringify({ hostIds: now }), { mode: 0o600 })
  return ports.map(({ client, peer }, at) => {
    const found = hosts.find(({ host }) => host.id === now[at])
    if (found === undefined) throw new HoldfastError('Internal', 'no engine was prepared')
    return { ordinal: at + 1, hostId: found.host.id, engine: found.engine, address: found.host.privateAddress, clientPort: client, peerPort: peer }
  })
}

function count(all: readonly string[], one: string): number {
  return all.filter((each) => each === one).length
}

function held(into: Preparation, name: string, request: CertificateRequest): Promise<KeyMaterial> {
  return heldCertificate({ ...into, now: new Date() }, name, request)
}

async function configuredAccess({ endpoints, caFile, certFile, keyFile, user, passwordFile }: EtcdSettings): Promise<EtcdAccess> {
  const [caPem, certificatePem, key, password] = await Promise.all([textIn(caFile), textIn(certFile), textIn(keyFile), readFile(passwordFile, 'utf8')])
  return {
    endpoints: endpoints.map(({ host, port }) => ({ host, port, serverName: host })),
    caPem, certificatePem, keyPem: key === null ? null : new Secret(key), user, password: new Secret(password.trim()),
  }
}

async function textIn(file: string | undefined): Promise<string | null> {
  return file === undefined ? null : readFile(file, 'utf8')
}

export function etcdForMembers(config: Config, { endpoints, caPem, certificatePem, keyPem }: EtcdAccess): EtcdForMembers {
  const hosts = endpoints.map(({ host, port }) => ({ host, port }))
  if (config.etcd === undefined) return { hosts, caPem: null, client: null }
  // signed by a public authority: members trust those that we do
  return { hosts, caPem: caPem ?? rootCertificates.join('\n'), client: certificatePem === null || keyPem === null ? null : { certificatePem, keyPem } }
}

/** Beside the master key: from then on members without data have lost them. */
export function formationFile({ stateDir }: Pick<Config, 'stateDir'>): string {
  return join(stateDir, 'etcd.formed')
}

function formationOf(config: Config): Formation {
  return {
    isNoted: () => access(formationFile(config)).then(() => true, () => false),
    note: () => writeFile(formationFile(config), ''),
  }
}
