/**
 * Everything a controller stands on: engines, images, control database, object store, keys. Each step is quick when it
 * is done already, so the service itself runs them at every start.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { connectEngine, type EngineClient, type EngineConnection } from '../clients/docker.ts'
import { connectObjectStore, type S3Connection } from '../clients/s3.ts'
import type { Config, HostSettings } from '../config.ts'
import type { Host } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { label } from '../domain/names.ts'
import { Secret } from '../domain/secret.ts'
import { ensureFirstAuthority, trustFile, type FirstAuthority } from './authorityFile.ts'
import { connectControlDatabase, type ControlConnection } from './controlConnection.ts'
import { ensureControlDatabase } from './controlDatabase.ts'
import { ensureDisks } from './disks.ts'
import { openDocker } from './dockerConnection.ts'
import { embeddedPlaces } from './embedded.ts'
import { answeringEngine, engineInfo, ensureEngine } from './engine.ts'
import { heldCertificate } from './heldCertificate.ts'
import { ensureHostMarker } from './hostMarker.ts'
import { ensureImages, type ImageName } from './images.ts'
import { keptFile } from './keptFile.ts'
import { ensureMasterKeys } from './masterKey.ts'
import { ensureObjectStore } from './objectStore.ts'
import { prepareEtcd, type PreparedEtcd } from './prepareEtcd.ts'

export interface PreparedHost {
  readonly host: Omit<Host, 'state'>
  readonly connection: EngineConnection
  readonly engine: EngineClient
}

export interface S3Access {
  readonly connection: S3Connection
  readonly bucket: string
}

/** Filled step by step; a step reads what earlier ones put there. */
export interface Preparation {
  readonly config: Config
  readonly keyring: Keyring
  first: FirstAuthority
  hosts: readonly PreparedHost[]
  images: Readonly<Record<string, string>>
  controlDatabase: ControlConnection | null
  s3: S3Access | null
  etcd: PreparedEtcd | null
  /** For what an operator has to hear and what keeps nothing from going on. */
  readonly announce: Say
}

export type Say = (line: string) => void

export async function beginPreparation(config: Config, announce: Say): Promise<Preparation> {
  const keyring = await ensureMasterKeys(config, { announce })
  const first = await ensureFirstAuthority(config, keyring, new Date())
  await writeFile(trustFile(config), first.trustPem)
  return { config, keyring, first, hosts: [], images: {}, controlDatabase: null, s3: null, etcd: null, announce }
}

export async function prepareEngines(into: Preparation, say: Say, signal: AbortSignal): Promise<string> {
  const { config } = into
  const found = config.hosts === undefined ? [await localHost(config, say, signal)] : await Promise.all(config.hosts.map((host) => remoteHost(config, host, signal)))
  into.hosts = found
  return found.map(({ host }) => host.name).join(', ')
}

async function localHost(config: Config, say: Say, signal: AbortSignal): Promise<PreparedHost> {
  const found = await ensureEngine({ report: ({ detail }) => say(detail), signal })
  const { privateAddress } = await engineInfo(found, signal)
  const { connection } = found
  return hostAt(config, { name: 'local', connection, privateAddress, publicAddress: config.endpoint.publicHost }, signal)
}

async function remoteHost(config: Config, settings: HostSettings, signal: AbortSignal): Promise<PreparedHost> {
  const { name, privateAddress } = settings
  return hostAt(config, { name, connection: await connectionOf(settings), privateAddress, publicAddress: settings.publicAddress ?? privateAddress }, signal)
}

interface HostFacts {
  readonly name: string
  readonly connection: EngineConnection
  readonly privateAddress: string
  readonly publicAddress: string
}

async function hostAt({ installation, runLabel }: Config, { name, connection, privateAddress, publicAddress }: HostFacts, signal: AbortSignal): Promise<PreparedHost> {
  const engine = connectEngine({ ...connection, ...(runLabel !== undefined && { labels: { [label.run]: runLabel } }) })
  const id = await ensureHostMarker(engine, installation, signal)
  return { host: { id, name, engine: connection.engine, privateAddress, publicAddress }, connection, engine }
}

async function connectionOf({ engine }: HostSettings): Promise<EngineConnection> {
  if (engine.kind === 'socket') return { engine: `unix://${engine.path}` }
  const [ca, cert, key] = await Promise.all([engine.caFile, engine.certFile, engine.keyFile].map((file) => readFile(file, 'utf8')))
  if (ca === undefined || cert === undefined || key === undefined) throw new HoldfastError('ConfigInvalid', `The engine ${engine.host} lacks a certificate file`)
  return { engine: `tcp://${engine.host}:${engine.port}`, tls: { ca, cert, key: new Secret(key) } }
}

export async function prepareImages(into: Preparation, say: Say, signal: AbortSignal): Promise<string> {
  const { config } = into
  const names: ImageName[] = ['postgres', 'haproxy']
  if (config.storageLimit === 'loop') names.push('disks')
  if (config.s3 === undefined) names.push('objectstore')
  if (config.etcd === undefined) names.push('etcd')
  for (const { connection } of into.hosts) {
    into.images = await ensureImages({ docker: openDocker(connection), names, report: ({ detail }) => say(detail), signal })
  }
  if (config.storageLimit === 'loop') await startDisks(into, signal)
  return `${names.length} images`
}

async function startDisks({ config, hosts, images }: Preparation, signal: AbortSignal): Promise<void> {
  const { installation, runLabel } = config
  const image = imageOf(images, 'disks')
  await Promise.all(hosts.map(({ connection, engine }) =>
    ensureDisks({ docker: openDocker(connection), engine, installation, image, ...(runLabel === undefined ? {} : { runLabel }), signal })))
}

export async function prepareControlDatabase(into: Preparation, _say: Say, signal: AbortSignal): Promise<string> {
  const { config, first } = into
  if (config.databaseUrl !== undefined) {
    into.controlDatabase = { url: config.databaseUrl, tls: null }
    return 'the one in the settings'
  }
  const options = { engine: firstHost(into).engine, config, keyring: into.keyring, image: imageOf(into.images, 'postgres'), first, now: new Date(), signal }
  await ensureControlDatabase(options)
  into.controlDatabase = await connectControlDatabase(config, first, signal)
  return embeddedPlaces(config).controlDatabase.container
}

/** Neither needs the other, and both take their time. */
export async function prepareStores(into: Preparation, say: Say, signal: AbortSignal): Promise<string> {
  const [bucket, etcd] = await Promise.all([prepareObjectStore(into, say, signal), prepareEtcd(into, say, signal)])
  into.etcd = etcd
  return bucket
}

export async function prepareObjectStore(into: Preparation, say: Say, signal: AbortSignal): Promise<string> {
  const { config } = into
  into.s3 = config.s3 === undefined ? await embeddedStore(into, say, signal) : await configuredStore(config.s3, signal)
  return into.s3.bucket
}

async function configuredStore(settings: NonNullable<Config['s3']>, signal: AbortSignal): Promise<S3Access> {
  const { endpoint, region, bucket, accessKeyId, secretAccessKey, caFile, forcePathStyle } = settings
  const caPem = caFile === undefined ? {} : { caPem: await readFile(caFile, 'utf8') }
  const connection = { endpoint, region, accessKeyId, secretAccessKey, forcePathStyle, ...caPem }
  const store = connectObjectStore(connection)
  await store.ensureBucket(bucket, signal).finally(() => store.close())
  return { connection, bucket }
}

async function embeddedStore(into: Preparation, say: Say, signal: AbortSignal): Promise<S3Access> {
  const { config, first, images } = into
  const { host, engine } = firstHost(into)
  const { port, serverName, bucket } = embeddedPlaces(config).objectStore
  const credentials = await ensureStoreCredentials(config)
  const request = { commonName: serverName, names: [serverName], usage: 'server' } as const
  const { certificatePem, keyPem } = await heldCertificate({ ...into, now: new Date() }, 'objectstore', request)
  const store = await ensureObjectStore({
    engine, installation: config.installation, image: imageOf(images, 'objectstore'),
    certificate: { certPem: certificatePem, keyPem, caPem: first.trustPem },
    credentials, bucket, serverName, publish: { address: host.privateAddress, port }, report: ({ detail }) => say(detail), signal,
  })
  return { connection: store, bucket }
}

const credentialsSchema = z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() })

async function ensureStoreCredentials(config: Config): Promise<{ accessKeyId: string; secretAccessKey: Secret }> {
  const made = { accessKeyId: randomBytes(10).toString('hex'), secretAccessKey: randomBytes(24).toString('hex') }
  const { accessKeyId, secretAccessKey } = await keptFile(config, 'objectstore.json', credentialsSchema, made)
  return { accessKeyId, secretAccessKey: new Secret(secretAccessKey) }
}

function firstHost({ hosts }: Preparation): PreparedHost {
  const [first] = hosts
  if (first === undefined) throw new HoldfastError('Internal', 'no engine was prepared')
  return first
}

function imageOf(images: Readonly<Record<string, string>>, name: ImageName): string {
  const image = images[name]
  if (image === undefined) throw new HoldfastError('Internal', `the image ${name} was not prepared`)
  return image
}

/** The engines of the settings, or the local one if it answers: nothing is installed or started to take something down. */
export async function findEngines(config: Config, signal: AbortSignal): Promise<readonly EngineClient[]> {
  const connections = config.hosts === undefined ? [await answeringEngine(process.env, signal)] : await Promise.all(config.hosts.map(connectionOf))
  return connections.filter((connection) => connection !== null).map((connection) => connectEngine(connection))
}
