/**
 * The embedded control database: a PostgreSQL in a container of the same image and the same hardening as a customer's,
 * reached on the loopback address with the controller's certificate. Its volume outlives `down --keep-data`.
 */
import { createHash } from 'node:crypto'
import type { Blueprint } from '../domain/blueprint.ts'
import type { EngineClient } from '../clients/docker.ts'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { label } from '../domain/names.ts'
import { renderMember } from '../render/member.ts'
import type { FirstAuthority } from './authorityFile.ts'
import { heldCertificate } from './heldCertificate.ts'
import { wasInitialised } from './controlConnection.ts'
import { embeddedPlaces } from './embedded.ts'

const mib = 1024 * 1024
const sizes = {
  memoryBytes: 512 * mib, cpus: 2, maxConnections: 100, storageBytes: 4096 * mib, walKeepBytes: 512 * mib, archiveTimeoutSeconds: 0,
}
/** The control database's own identity among instances: there is one an installation. */
const instanceId = '00000000-0000-4000-8000-000000000001'
const makeTimeoutMs = 90_000

export interface ControlDatabaseOptions {
  readonly engine: EngineClient
  readonly config: Config
  readonly keyring: Keyring
  readonly image: string
  readonly first: FirstAuthority
  readonly now: Date
  readonly signal: AbortSignal
}

/** Makes or starts it; it accepts connections a moment later. Errors: `ResourceConflict` (port or name taken), `EngineUnreachable`. */
export async function ensureControlDatabase(options: ControlDatabaseOptions): Promise<void> {
  const { engine, signal } = options
  const limit = AbortSignal.any([signal, AbortSignal.timeout(makeTimeoutMs)])
  const blueprint = await blueprintOf(options)
  const seen = await engine.findContainer(blueprint.name, limit)
  if (seen !== null && seen.labels[label.spec] === blueprint.specHash) {
    await engine.putFiles(seen.id, blueprint.mounts, blueprint.files, limit)
    if (seen.state === 'running') await engine.killContainer(seen.id, 'SIGHUP', limit)
    else await engine.startContainer(seen.id, limit)
    return
  }
  if (seen !== null) await replace(engine, seen.id, limit)
  await make(engine, blueprint, limit)
}

async function replace(engine: EngineClient, id: string, signal: AbortSignal): Promise<void> {
  await engine.stopContainer(id, 60, signal)
  await engine.removeContainer(id, { force: false }, signal)
}

/** A volume that is already there is kept with what it holds; one may be initialised until the database was up once. */
async function make(engine: EngineClient, blueprint: Blueprint, signal: AbortSignal): Promise<void> {
  const [data, conf] = blueprint.mounts
  if (data === undefined || conf === undefined) throw new HoldfastError('Internal', 'the control database has no volumes')
  const labels = { ...blueprint.labels, [label.kind]: 'volume' }
  await Promise.all([data, conf].map(({ volume }) => engine.createVolume({ name: volume, labels }, signal)))
  const { id } = await engine.createContainer(blueprint, signal)
  await engine.putFiles(id, blueprint.mounts, blueprint.files, signal)
  await engine.startContainer(id, signal)
}

async function blueprintOf({ config, keyring, image, first, now }: ControlDatabaseOptions): Promise<Blueprint> {
  const { container, port, serverName } = embeddedPlaces(config).controlDatabase
  const server = await heldCertificate({ config, keyring, first, now }, 'control', { commonName: serverName, names: [serverName], usage: 'server' })
  const { files, configHash, restartHash } = renderMember({
    installation: config.installation, instanceId, instanceIds: [instanceId], endpointIds: [], sizes, trustBundlePem: first.trustPem, server,
    mayInitialise: !(await wasInitialised(config)),
  })
  const spec = {
    name: container,
    hostId: 'local',
    image,
    command: ['standalone'],
    mounts: [{ volume: `${container}-data`, path: '/data' }, { volume: `${container}-conf`, path: '/conf' }],
    network: { name: 'bridge', aliases: [] },
    ports: [{ containerPort: 5432, address: '127.0.0.1', hostPort: port }],
    extraHosts: [],
    limits: { memoryBytes: sizes.memoryBytes, cpus: sizes.cpus, pids: 256, shmBytes: 64 * mib },
    restart: 'always',
  } as const
  const specHash = createHash('sha256').update(JSON.stringify([spec, restartHash])).digest('hex').slice(0, 16)
  const labels = { [label.installation]: config.installation, [label.kind]: 'controlDatabase', [label.spec]: specHash }
  return { ...spec, labels, files, specHash, configHash }
}
