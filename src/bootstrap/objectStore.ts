/**
 * The embedded S3 store (templates/images/objectstore), for installations without an S3 service of their own: made, started,
 * given its certificate and credentials through the engine, and asked for its bucket. Its objects outlive its container.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ContainerDetails, EngineClient } from '../clients/docker.ts'
import { connectObjectStore, type ObjectStore, type S3Connection } from '../clients/s3.ts'
import type { Blueprint, RenderedFile } from '../domain/blueprint.ts'
import { HoldfastError } from '../domain/errors.ts'
import { label } from '../domain/names.ts'
import type { Secret } from '../domain/secret.ts'
import type { Report } from './progress.ts'

export interface EnsureObjectStoreOptions {
  readonly engine: EngineClient
  readonly installation: string
  readonly image: string
  readonly bucket: string
  /** What its certificate says; containers reach it by that name with an extra host. */
  readonly serverName: string
  readonly certificate: { readonly certPem: string; readonly keyPem: Secret; readonly caPem: string }
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: Secret }
  readonly publish: { readonly address: string; readonly port: number }
  readonly report: Report
  readonly signal: AbortSignal
}

const mib = 1024 * 1024
/** 120 MiB idle, 320 MiB after a load of backups; the rest is room for large ones. */
const limits = { memoryBytes: 1024 * mib, cpus: 2, pids: 1024, shmBytes: 64 * mib }
/** Of a sparse file: what is not used takes no space. */
const storeBytes = 20 * 1024 * mib
const stopSeconds = 60
/** A first start took 5 s, one after a power cut 11 s, on a machine that did nothing else. */
const readyTimeoutMs = 150_000
const pollMs = 200
const shownLogLines = 15

/**
 * Says how this process reaches it. Errors: `ObjectStoreUnavailable` with the end of its log; `ResourceConflict` when the port
 * is taken.
 */
export async function ensureObjectStore(options: EnsureObjectStoreOptions): Promise<S3Connection> {
  const { engine, report, signal } = options
  const blueprint = blueprintOf(options)
  const seen = await engine.findContainer(blueprint.name, signal)
  if (seen !== null && seen.labels[label.spec] === blueprint.specHash) await bringUpToDate(engine, seen, blueprint, signal)
  else {
    report({ step: 'objectStore', detail: seen === null ? 'starting' : 'starting anew' })
    if (seen !== null) await removeContainer(engine, seen, signal)
    await make(engine, blueprint, signal)
  }
  const connection = connectionOf(options)
  await untilAnswering(options, blueprint.name, connection)
  return connection
}

/** Only what changed is told: a certificate is taken by one of the daemons alone, credentials by a start. */
async function bringUpToDate(engine: EngineClient, seen: ContainerDetails, blueprint: Blueprint, signal: AbortSignal): Promise<void> {
  if (seen.state !== 'running') {
    await engine.putFiles(seen.id, blueprint.mounts, blueprint.files, signal)
    await engine.startContainer(seen.id, signal)
    return
  }
  const changed = await changedFiles(engine, seen.id, blueprint.files, signal)
  if (changed.length === 0) return
  await engine.putFiles(seen.id, blueprint.mounts, blueprint.files, signal)
  if (changed.every(({ path }) => path.startsWith(tlsDirectory))) {
    await engine.killContainer(seen.id, 'SIGHUP', signal)
    return
  }
  await engine.stopContainer(seen.id, stopSeconds, signal)
  await engine.startContainer(seen.id, signal)
}

async function changedFiles(engine: EngineClient, id: string, files: readonly RenderedFile[], signal: AbortSignal): Promise<readonly RenderedFile[]> {
  const { stdout } = await engine.exec(id, ['sha256sum', '--', ...files.map(({ path }) => path)], {}, signal)
  const present = new Set(stdout.split('\n'))
  return files.filter(({ path, content }) => !present.has(`${createHash('sha256').update(content).digest('hex')}  ${path}`))
}

async function removeContainer(engine: EngineClient, seen: ContainerDetails, signal: AbortSignal): Promise<void> {
  await engine.stopContainer(seen.id, stopSeconds, signal)
  await engine.removeContainer(seen.id, { force: true }, signal)
}

async function make(engine: EngineClient, blueprint: Blueprint, signal: AbortSignal): Promise<void> {
  const labels = { ...blueprint.labels, [label.kind]: 'volume' }
  await Promise.all(blueprint.mounts.map(({ volume }) => engine.createVolume({ name: volume, labels }, signal)))
  const { id } = await engine.createContainer(blueprint, signal)
  await engine.putFiles(id, blueprint.mounts, blueprint.files, signal)
  await engine.startContainer(id, signal)
}

async function untilAnswering({ engine, bucket, signal }: EnsureObjectStoreOptions, container: string, connection: S3Connection): Promise<void> {
  const client = connectObjectStore(connection)
  const deadline = Date.now() + readyTimeoutMs
  try {
    for (let cause = await notYet(client, bucket, signal); cause !== null; cause = await notYet(client, bucket, signal)) {
      if (Date.now() > deadline) throw await unanswered(engine, container, cause, signal)
      await delay(pollMs, undefined, { signal })
    }
  } finally {
    client.close()
  }
}

/** Why the bucket is not there yet; null when it is. */
async function notYet(client: ObjectStore, bucket: string, signal: AbortSignal): Promise<HoldfastError | null> {
  try {
    await client.ensureBucket(bucket, signal)
    return null
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'ObjectStoreUnavailable') return error
    throw error
  }
}

async function unanswered(engine: EngineClient, container: string, cause: HoldfastError, signal: AbortSignal): Promise<HoldfastError> {
  const log = await engine.logs(container, { tail: shownLogLines }, signal)
  return new HoldfastError('ObjectStoreUnavailable', `The embedded S3 store ${container} does not answer after ${readyTimeoutMs / 1000} s`, {
    cause, next: `See its log: docker logs ${container}`, facts: { log },
  })
}

function connectionOf({ serverName, certificate, credentials, publish }: EnsureObjectStoreOptions): S3Connection {
  return {
    endpoint: `https://${serverName}:${publish.port}`,
    address: publish.address,
    region: 'us-east-1',
    forcePathStyle: true,
    caPem: certificate.caPem,
    ...credentials,
  }
}

const tlsDirectory = '/conf/tls/'

function filesOf({ certificate, credentials }: EnsureObjectStoreOptions): readonly RenderedFile[] {
  const secretKey = credentials.secretAccessKey.reveal()
  return [
    { path: '/conf/credentials', content: `${credentials.accessKeyId}\n${secretKey}\n`, mode: 0o600, secret: true },
    { path: '/conf/size-bytes', content: `${storeBytes}\n`, mode: 0o644, secret: false },
    { path: `${tlsDirectory}server.crt`, content: certificate.certPem, mode: 0o644, secret: false },
    { path: `${tlsDirectory}server.key`, content: certificate.keyPem.reveal(), mode: 0o600, secret: true },
  ]
}

function blueprintOf(options: EnsureObjectStoreOptions): Blueprint {
  const { installation, image, publish } = options
  const name = `${installation}-objectstore`
  const spec = {
    name,
    hostId: 'local',
    image,
    command: [],
    mounts: [{ volume: `${name}-data`, path: '/data' }, { volume: `${name}-conf`, path: '/conf' }],
    network: { name: 'bridge', aliases: [] },
    ports: [{ containerPort: 8443, address: publish.address, hostPort: publish.port }],
    extraHosts: [],
    limits,
    restart: 'always',
  } as const
  const specHash = createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 16)
  const labels = { [label.installation]: installation, [label.kind]: 'objectStore', [label.spec]: specHash }
  // Files are compared one by one, so their hash decides nothing.
  return { ...spec, labels, files: filesOf(options), specHash, configHash: '' }
}
