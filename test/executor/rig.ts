/** What executor tests share: an engine client whose everything carries a run label, a project network, and a sweep. */
import { randomBytes } from 'node:crypto'
import { connectEngine, type EngineClient } from '../../src/clients/docker.ts'
import { connectObjectStore } from '../../src/clients/s3.ts'
import type { Executor } from '../../src/domain/ports.ts'
import { label } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createExecutor, type ExecutorOptions } from '../../src/executor/executor.ts'
import { createBlueprinter, type JobBlueprinter, type ObjectStoreAccess } from '../../src/render/blueprints.ts'
import type { Authority } from '../../src/pki/authority.ts'
import { runLabelOf } from '../harness/testRun.ts'
import { sampleDatabase, type Sample } from './sample.ts'

export interface Rig {
  readonly installation: string
  readonly engine: EngineClient
  readonly sample: Sample
  readonly blueprinter: JobBlueprinter
  readonly executor: Executor
  /** Removes what this rig made; disks are their helper's to remove before. */
  sweep(): Promise<void>
}

export interface RigRequest {
  /** Given where other parts of the installation have been made already. */
  readonly installation?: string
  readonly images: { readonly postgres: string; readonly haproxy: string }
  readonly signal: AbortSignal
  readonly over?: Partial<ExecutorOptions>
  readonly objectStore?: ObjectStoreAccess
  readonly authority?: Authority
}

const engineAddress = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock'
/** The gateway of the engine's default network: reached by us and by containers. */
export const privateAddress = '172.17.0.1'

export function newInstallation(): string {
  return `hft${randomBytes(3).toString('hex')}`
}

export async function openRig({ images, signal, over = {}, installation = newInstallation(), objectStore, authority }: RigRequest): Promise<Rig> {
  const run = runLabelOf(installation)
  const engine = connectEngine({ engine: engineAddress, labels: { [label.run]: run } })
  const random = randomBytes(4)
  const sample = await sampleDatabase({
    installation, privateAddress, images, now: new Date(), ...(authority !== undefined && { authority }),
    subnet: `10.${200 + (random.readUInt8(0) % 50)}.${random.readUInt8(1)}.0/27`,
    firstPort: 28_000 + (random.readUInt16BE(2) % 3_000),
  })
  // Nothing listens there: what needs a store gives its own.
  const store = connectObjectStore({
    endpoint: 'https://127.0.0.1:9', region: 'us-east-1', accessKeyId: 'none', secretAccessKey: new Secret('none'), forcePathStyle: true,
  })
  const blueprinter = createBlueprinter({
    installation, publicBind: '127.0.0.1', dcs: null,
    objectStore: objectStore ?? {
      host: 'objectstore.holdfast.internal', port: 8443, region: 'us-east-1', bucket: `${installation}-backups`, uriStyle: 'path',
      accessKey: new Secret('AKTEST'), secretKey: new Secret('SKTEST'), caPem: null, address: privateAddress,
    },
  })
  const executor = createExecutor({
    installation,
    engines: () => engine,
    storageLimit: 'none',
    blueprinter,
    repositoryOf: () => Promise.resolve({ path: '/lineages/source', cipher: new Secret('source-cipher') }),
    desiredOf: () => Promise.resolve(null),
    postgres: { identity: () => sample.controller, clock: { now: () => new Date() } },
    repositories: { store, bucket: `${installation}-backups` },
    etcd: noEtcd,
    mover: { move: () => Promise.resolve({ kind: 'refused', reason: 'there is no cluster here' }), drainReads: () => Promise.resolve() },
    ...over,
  })
  return { installation, engine, sample, blueprinter, executor, sweep: () => sweep(engine, run, signal) }
}

/** What needs etcd gives its own. */
const noEtcd: ExecutorOptions['etcd'] = {
  get: () => Promise.reject(away), put: () => Promise.reject(away), txn: () => Promise.reject(away), deletePrefix: () => Promise.reject(away),
  auth: { ensureUser: () => Promise.reject(away), removeUser: () => Promise.reject(away) },
}
const away = new Error('there is no etcd here')

async function sweep(engine: EngineClient, run: string, signal: AbortSignal): Promise<void> {
  const labels = { [label.run]: run }
  const containers = await engine.listContainers(labels, signal)
  await Promise.all(containers.map(({ id }) => engine.removeContainer(id, { force: true }, signal)))
  for (const { name } of await engine.listVolumes(labels, signal)) await engine.removeVolume(name, signal)
  for (const { name } of await engine.listNetworks(labels, signal)) await engine.removeNetwork(name, signal)
}
