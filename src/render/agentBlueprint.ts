/** The container of an instance's backup agent, and those of its jobs. They hold the keys of the object store; members never do. */
import type { JobOrder } from '../domain/action.ts'
import type { Blueprint } from '../domain/blueprint.ts'
import { certificateKey, hostOf, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { internalName, label, resourceNames } from '../domain/names.ts'
import type { Secret } from '../domain/secret.ts'
import { tiers } from '../domain/tiers.ts'
import { renderAgent } from './agent.ts'
import { memberLimits } from './memberBlueprint.ts'
import type { RepositoryInput } from './repository.ts'
import { backupCommand, renderRestore, restoreCommand, verifyCommand } from './restore.ts'
import { blueprintOf, hostsLine, type Spec, type SpecFiles } from './spec.ts'

/** Where backups go, as containers reach it. */
export interface ObjectStoreAccess extends Omit<RepositoryInput, 'path' | 'cipher'> {
  /** The address behind `host`, where no resolver knows it; null: resolved as usual. */
  readonly address: string | null
  /** Its certificate is signed by the installation itself: verified with what is trusted now, whatever `caPem` says. */
  readonly isOurs?: boolean
}

export interface RepositoryKeys {
  readonly path: string
  readonly cipher: Secret
}

export interface AgentSettings {
  readonly installation: string
  readonly objectStore: ObjectStoreAccess
}

const mib = 1024 * 1024
const agentLimits = { memoryBytes: 256 * mib, cpus: 1, pids: 64, shmBytes: 16 * mib }
/** Two workers that compress, and the manifest of the largest database we serve. */
const jobLimits = { memoryBytes: 512 * mib, cpus: 2, pids: 128, shmBytes: 16 * mib }

interface Place {
  readonly settings: AgentSettings
  readonly desired: Desired
  readonly instance: Instance
  /** By ordinal: the first is the one that a restore writes. */
  readonly members: readonly [Member, ...Member[]]
}

/** Null until the agent's certificate exists. */
export function agentBlueprint(settings: AgentSettings, desired: Desired, instance: Instance): Blueprint | null {
  const place = placeOf(settings, desired, instance)
  const config = place === null ? null : agentFiles(place)
  if (place === null || config === null) return null
  const names = resourceNames(settings.installation)
  return blueprintOf(settings.installation, desired, {
    ...agentShape(place),
    kind: 'agent',
    owner: { [label.instance]: instance.id },
    // Nobody asks a running agent what it has loaded. A new one costs a second without WAL being pulled.
    remakeFor: [config.configHash],
    name: names.agent(instance.id),
    command: ['agent'],
    limits: agentLimits,
    restart: 'always',
  }, config)
}

/** `source`: the repository that a restore reads. Null until the agent's certificate exists. */
export function jobBlueprint(settings: AgentSettings, desired: Desired, order: JobOrder, source: RepositoryKeys | null): Blueprint | null {
  const instance = desired.instances.find((candidate) => candidate.id === order.instanceId)
  const place = instance === undefined ? null : placeOf(settings, desired, instance)
  if (place === null) return null
  const shape = {
    ...agentShape(place),
    kind: 'job' as const,
    owner: { [label.instance]: order.instanceId, [label.job]: order.jobId },
    remakeFor: [],
    name: resourceNames(settings.installation).job(order.jobId),
    restart: 'no' as const,
  }
  if (order.job === 'restore') return source === null ? null : restoreBlueprint(place, shape, order, source)
  const config = agentFiles(place)
  if (config === null) return null
  const command = order.job === 'backup' ? backupCommand(order.kind) : verifyCommand(order.label)
  return blueprintOf(settings.installation, desired, { ...shape, command, limits: jobLimits }, config)
}

/**
 * Writes the new instance's data volume. It borrows the volume of the agent's configuration, where nothing runs before the
 * restore is over; the agent then puts its own files there before it starts.
 */
function restoreBlueprint(
  { settings, desired, instance, members: [member] }: Place, shape: Omit<Spec, 'command' | 'limits'>,
  { source: { label: backupLabel, targetTime } }: Extract<JobOrder, { job: 'restore' }>, source: RepositoryKeys,
): Blueprint {
  const names = resourceNames(settings.installation)
  const point = targetTime === null
    ? { kind: 'backup', label: backupLabel } as const
    : { kind: 'time', target: new Date(targetTime), label: backupLabel } as const
  const mounts = [
    { volume: names.dataVolume(member.id), path: '/data' },
    { volume: names.agentConfVolume(instance.id), path: '/conf' },
  ]
  const config = renderRestore({ instanceId: instance.id, repository: { ...storeFor(settings, desired), ...source } })
  // Recovery runs with the settings of the database, hence with its limits.
  return blueprintOf(settings.installation, desired, { ...shape, mounts, command: restoreCommand(point), limits: memberLimits(desired) }, config)
}

function placeOf(settings: AgentSettings, desired: Desired, instance: Instance): Place | null {
  const [first, ...others] = instance.members.toSorted((a, b) => a.ordinal - b.ordinal)
  return first === undefined ? null : { settings, desired, instance, members: [first, ...others] }
}

function agentShape({ settings, desired, instance, members }: Place) {
  const { host, address } = settings.objectStore
  const names = resourceNames(settings.installation)
  const home = hostOf(desired, members[0].hostId)
  const store = address === null ? [] : [`${host}:${address}`]
  return {
    hostId: home.id,
    image: desired.database.images.postgres,
    mounts: [
      { volume: names.agentConfVolume(instance.id), path: '/conf' },
      { volume: names.walVolume(instance.id), path: '/wal' },
    ],
    network: { name: names.network(desired.project.id), aliases: [] },
    ports: [],
    extraHosts: [...members.map(({ id, hostId }) => hostsLine(internalName.member(id), hostOf(desired, hostId))), ...store],
  }
}

function storeFor({ objectStore }: AgentSettings, { trustBundlePem }: Desired): ObjectStoreAccess {
  return objectStore.isOurs === true ? { ...objectStore, caPem: trustBundlePem } : objectStore
}

function agentFiles({ settings, desired, instance, members }: Place): SpecFiles | null {
  const client = desired.certificates.get(certificateKey('agent', instance.id))
  if (client === undefined) return null
  const tier = tiers[desired.database.tier]
  return renderAgent({
    repository: { ...storeFor(settings, desired), ...instance.repository },
    retentionDays: tier.backups.retentionDays,
    members,
    // The rest of what may wait for the store waits at the database, where the slot has a limit of its own.
    spoolLimitBytes: Math.floor(tier.walKeepBytes / 2),
    trustBundlePem: desired.trustBundlePem,
    client,
  })
}
