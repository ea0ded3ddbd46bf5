/**
 * Deletion by finalizers, each ended only when its thing is seen gone: a last backup, then containers, then volumes,
 * and, when their retention is over, the backups. Until the last backup is in, the database is kept running.
 */
import { clusterOf, leaderOf } from '../domain/cluster.ts'
import { servingInstance, type Finalizer, type Instance } from '../domain/desired.ts'
import { label, type ResourceKind } from '../domain/names.ts'
import type { ContainerSeen, EngineSeen } from '../domain/observed.ts'
import { act, block, lookAgain, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { engineOf } from '../domain/reading.ts'
import { finalBackupRestMs } from './backups.ts'

const soonMs = 250
const unseenMs = 2_000
const dayMs = 86_400_000
const stopTimeoutSeconds = 60

export function currentFinalizer(input: PlanInput): Finalizer | null {
  return input.desired.database.finalizers[0] ?? null
}

function done(finalizer: Finalizer, networksStay = false): Part {
  return { ...record({ kind: 'finalizerDone', finalizer, ...(networksStay && { networksStay }) }), requeueAfterMs: 0 }
}

/** Whether the last backup still has to be waited for; the database keeps running meanwhile. */
export function planFinalBackup(input: PlanInput): Part {
  const { desired } = input
  const { finalBackup, deletionRequestedAt } = desired.database
  const instance = servingInstance(desired)
  if (!finalBackup || deletionRequestedAt === null || instance === undefined || instance.initialisedAt === null) return done('finalBackup')
  const since = desired.backups.filter((backup) => backup.instanceId === instance.id && backup.requestedAt >= deletionRequestedAt)
  if (since.some((backup) => backup.state === 'verified' || backup.state === 'expired')) return done('finalBackup')
  if (isDataGone(input, instance)) return block('FinalBackupFailed', `The data volume is gone, so no last backup can be taken and nothing is deleted. ${wayOut}`)
  const [latest] = since
  if (latest?.state === 'failed') {
    const why = latest.failure?.message ?? 'no reason was given'
    return block('FinalBackupFailed', `The last backup before deletion failed (${why}), so nothing is deleted. It is tried again ${finalBackupRestMs / 60_000} minutes after it failed, or when a backup is requested. ${wayOut}`)
  }
  return waitFor('the last backup before deletion', soonMs * 4)
}

const wayOut = 'To delete without it, ask for the deletion again with finalBackup = false; the backups that are there are kept for their time.'

function isDataGone({ observed, names }: PlanInput, instance: Instance): boolean {
  // of a cluster's data one copy is enough
  return instance.members.length > 0 && instance.members.every((member) => {
    const engine = engineOf(observed, member.hostId)
    return engine.known && !engine.value.volumes.some((volume) => volume.name === names.dataVolume(member.id))
  })
}

export function planContainersGone(input: PlanInput): Part {
  return overEngines(input, 'containers', (hostId, engine) => containersGone(input, hostId, engine))
}

/** A leader that goes last is not followed by another one. */
function containersGone({ desired, observed, names }: PlanInput, hostId: string, { containers }: EngineSeen): Part[] {
  const leaders = new Set(desired.instances.flatMap((instance) => leaderOf(observed, instance) ?? []).map(({ member }) => names.member(member.id)))
  const inOrder = containers.toSorted((one, other) => Number(leaders.has(one.name)) - Number(leaders.has(other.name)))
  return inOrder.map((seen) => planContainerGone(hostId, seen, containers))
}

export function planContainerGone(hostId: string, seen: ContainerSeen, all: readonly ContainerSeen[]): Part {
  const target = { hostId, containerId: seen.id, name: seen.name }
  const wait = waitFor(`container ${seen.name} to be gone`, soonMs)
  // an engine refuses to remove what is on its way out
  if (seen.state === 'removing') return wait
  // it owns the network that its member ends in
  if (isOf(podKind, seen) && all.some((other) => isOf(memberKind, other) && other.labels[label.member] === seen.labels[label.member])) return wait
  // members end by a clean shutdown; everything else holds nothing that a kill could lose
  if (isOf(memberKind, seen) && isAlive(seen)) return merge([act({ kind: 'stopContainer', ...target, timeoutSeconds: stopTimeoutSeconds }), wait])
  return merge([act({ kind: 'removeContainer', ...target }), wait])
}

const memberKind: ResourceKind = 'member'
const podKind: ResourceKind = 'pod'

function isOf(kind: ResourceKind, { labels }: ContainerSeen): boolean {
  return labels[label.kind] === kind
}

/** A paused one is alive: stopping wakes it up, so that it can end by itself. */
function isAlive({ state }: ContainerSeen): boolean {
  return state === 'running' || state === 'restarting' || state === 'paused'
}

export function planVolumesGone(input: PlanInput): Part {
  return overEngines(input, 'volumes', (hostId, engine) =>
    // a late call of a controller that had lost its lease may have made one, which would hold its volumes
    engine.containers.length > 0 ? containersGone(input, hostId, engine) : [...volumesGone(input, hostId, engine), ...networksGone(input, hostId, engine)],
  scopesGone(input))
}

/** Once no member is left that would write its keys again. */
function scopesGone({ desired, observed }: PlanInput): Part[] {
  const isAnyLeft = [...observed.engines.values()].some((engine) => !engine.known || engine.value.containers.length > 0)
  return desired.instances.filter(({ cluster }) => cluster !== null).map((instance) => {
    const seen = clusterOf(observed, instance)
    if (!seen.known) return waitFor(`etcd to answer, to remove what it holds of the cluster (${seen.reason})`, unseenMs)
    if (seen.value.isEmpty) return nothing
    const wait = waitFor('what etcd holds of the cluster to be gone', soonMs)
    return isAnyLeft ? wait : merge([act({ kind: 'removeScope', instanceId: instance.id }), wait])
  })
}

function volumesGone({ desired, names }: PlanInput, hostId: string, { volumes }: EngineSeen): Part[] {
  const members = desired.instances.flatMap((instance) => instance.members).filter((member) => member.hostId === hostId)
  const seen = new Set(volumes.map(({ name }) => name))
  // a data volume that somebody removed by hand has left its disk behind
  const lost = members.filter((member) => member.volumeBytes !== null).map((member) => names.dataVolume(member.id)).filter((name) => !seen.has(name))
  return [...seen, ...lost].map((name) => {
    const memberId = members.find((member) => names.dataVolume(member.id) === name)?.id ?? null
    return merge([act({ kind: 'removeVolume', hostId, name, memberId }), waitFor(`volume ${name} to be gone`, soonMs)])
  })
}

/** Of one instance, whatever else is there. */
export function planVolumesOf({ names }: PlanInput, hostId: string, { volumes }: EngineSeen, instance: Instance): Part {
  const seen = new Set(volumes.map(({ name }) => name))
  const here = instance.members.filter((member) => member.hostId === hostId)
  const data = here.filter((member) => member.volumeBytes !== null || seen.has(names.dataVolume(member.id))).map((member) => ({ name: names.dataVolume(member.id), memberId: member.id }))
  const others = [...here.map(({ id }) => names.memberConfVolume(id)), names.agentConfVolume(instance.id), names.walVolume(instance.id)]
  return merge([...data, ...others.filter((name) => seen.has(name)).map((name) => ({ name, memberId: null }))].map(({ name, memberId }) =>
    merge([act({ kind: 'removeVolume', hostId, name, memberId }), waitFor(`volume ${name} to be gone`, soonMs)])))
}

function networksGone({ desired, names }: PlanInput, hostId: string, { networks }: EngineSeen): Part[] {
  if (!desired.lastOfProject) return []
  return networks.filter((network) => network.name === names.network(desired.project.id)).map(({ name }) =>
    merge([act({ kind: 'removeNetwork', hostId, name }), waitFor(`network ${name} to be gone`, soonMs)]))
}

function overEngines(input: PlanInput, finalizer: Finalizer, gone: (hostId: string, engine: EngineSeen) => Part[], others: readonly Part[] = []): Part {
  const parts = input.desired.hosts.map((host) => {
    const engine = input.observed.engines.get(host.id)
    if (engine === undefined || !engine.known) return waitFor(`host ${host.name} to be seen again, to delete what it holds`, unseenMs)
    return merge(gone(host.id, engine.value))
  })
  const all = merge([...parts, ...others])
  return all.actions.length === 0 && all.waitingFor.length === 0 ? done(finalizer, finalizer === 'volumes' && !input.desired.lastOfProject) : all
}

/** Backups outlive their database until their date; purging is asked for until the store is seen empty. */
export function planBackupsGone({ desired, observed: { objectStore }, now }: PlanInput): Part {
  const until = desired.database.backupsKeptUntil
  if (until !== null && until > now) return lookAgain(Math.min(until.getTime() - now.getTime(), dayMs))
  if (!objectStore.known) return waitFor(`the object store to answer, to purge the backups (${objectStore.reason})`, unseenMs)
  const purge = act({ kind: 'purgeRepositories', instanceIds: desired.instances.map((instance) => instance.id) })
  return merge([purge, waitFor('the backups to be purged from the store', soonMs * 4)])
}
