/**
 * An instance beside the serving one. While it is prepared it is a cluster that follows; afterwards the former server follows in case of
 * a way back; at the end it is taken down. What must hold: what follows never comes up as more than a follower, and nothing of an
 * instance is removed before it was retired.
 */
import type { EventNote } from '../domain/action.ts'
import { clusterOf, isWhole } from '../domain/cluster.ts'
import { isFollower, isMovingClients, rollbackTargetKeptMs, servingInstance, type Instance, type Member } from '../domain/desired.ts'
import { label } from '../domain/names.ts'
import { formatLsn, walSegmentBytes, type Lsn } from '../domain/lsn.ts'
import type { ContainerSeen, EngineSeen, PostgresSeen } from '../domain/observed.ts'
import { act, block, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { followerSlotName, walSlotName } from '../domain/prepared.ts'
import { containerNamed, engineOf, primaryMember } from '../domain/reading.ts'
import { planScope } from './cluster.ts'
import { planMember } from './clusterMember.ts'
import { sceneOf } from './clusterScene.ts'
import { planContainer } from './containers.ts'
import { planContainerGone, planVolumesOf } from './deletion.ts'

const soonMs = 250
const laterMs = 1_000

/** Every instance that does not serve. */
export function planOthers(input: PlanInput): Part {
  return merge(input.desired.instances.map((instance) => {
    switch (instance.role) {
      case 'serving':
      case 'restoring':
        return nothing
      case 'preparing':
        return planPreparing(input, instance)
      case 'rollbackTarget':
        return planRollbackTarget(input, instance)
      case 'retired':
        return planRetired(input, instance)
    }
  }))
}

/**
 * Of an upgrade that found nothing in its way, or after a rollback. Patroni copies, and nobody is promoted as long as etcd says whom to
 * follow: so a member that died is started again, also while clients are moved.
 */
function planPreparing(input: PlanInput, instance: Instance): Part {
  const { operation } = input.desired
  const scene = sceneOf(input, instance)
  if (scene === null) return nothing
  const isUpgrade = operation?.kind === 'upgradeToHa' && preparingPhases.has(operation.phase)
  if (!isUpgrade && instance.keptUntil === null) return nothing
  if (!isUpgrade && operation === null) {
    const end = endOfFormerCluster(input, instance)
    if (end !== null) return end
  }
  return merge([agentGone(input, instance), planScope(scene), planSlots(input, instance), ...instance.members.map((member) => planMember(scene, member))])
}

const preparingPhases: ReadonlySet<string> = new Set(['copying', 'movingClients'])

/** Null while it is to go on following. */
function endOfFormerCluster({ desired, observed, now }: PlanInput, instance: Instance): Part | null {
  if (instance.keptUntil !== null && instance.keptUntil <= now) {
    return retire(instance, 'info', 'FollowerRetired', 'The cluster that served before the rollback is removed: its time is over. Another upgrade makes a new one.')
  }
  const serving = servingInstance(desired)
  const primary = serving === undefined ? null : primaryMember(observed, serving)
  const slot = primary?.postgres.slots.find(({ name }) => name === followerSlotName)
  if (primary === null || (slot !== undefined && slot.walStatus !== 'lost')) return null
  return retire(instance, 'warning', 'FollowerLost', 'The cluster that served before the rollback fell so far behind that the server does not have its WAL any more: it is removed. Another upgrade makes a new one.')
}

function retire({ id }: Instance, severity: EventNote['severity'], reason: string, message: string): Part {
  return { ...record({ kind: 'instanceRole', instanceId: id, role: 'retired' }, { kind: 'event', note: { severity, reason, message } }), requeueAfterMs: 0 }
}

/** Its volume says that it follows, whatever starts it. It begins once the new leader has replicas: until then nobody is to count on it. */
function planRollbackTarget(input: PlanInput, instance: Instance): Part {
  const { desired, observed, now } = input
  const serving = servingInstance(desired)
  if (instance.members.some((member) => isDataGone(input, member))) return planLost(instance, 'The data volume of the former server is gone')
  const isMoving = isMovingClients(desired)
  if (!isMoving && isWalGone(input, serving)) return planLost(instance, 'The former server fell so far behind that the cluster does not have its WAL any more')
  if (!isMoving && instance.keptUntil !== null && instance.keptUntil <= now) return planEnd(input, instance, serving)
  return merge([agentGone(input, instance), planSlots(input, instance), ...instance.members.map((member) => planFollowing(input, member, serving !== undefined && isWhole(observed, serving)))])
}

function isDataGone({ observed, names }: PlanInput, { id, hostId }: Member): boolean {
  const engine = engineOf(observed, hostId)
  return engine.known && !engine.value.volumes.some(({ name }) => name === names.dataVolume(id))
}

/** Nothing is put in its place: the cluster serves without it. */
function planLost(instance: Instance, because: string): Part {
  return retire(instance, 'warning', 'RollbackTargetLost', `${because}: there is no way back to it any more, and what is left of it is removed. The cluster serves on; its backups are the way to an earlier state.`)
}

/** Its slot is given up rather than the cluster's disks filled. */
function isWalGone({ observed }: PlanInput, serving: Instance | undefined): boolean {
  const primary = serving === undefined ? null : primaryMember(observed, serving)
  return primary?.postgres.slots.find(({ name }) => name === followerSlotName)?.walStatus === 'lost'
}

function planFollowing(input: PlanInput, member: Member, isServed: boolean): Part {
  const blueprint = input.blueprints.members.get(member.id)
  if (blueprint === undefined) return nothing
  const plan = planContainer(input, blueprint, 'the former server')
  if (plan.running === null) return plan.part
  const seen = input.observed.postgres.get(member.id)
  if (seen?.known !== true) {
    if (!isServed) return merge([plan.part, waitFor('the cluster to be whole, for the former server to follow it', laterMs)])
    const { id, name } = plan.running
    return merge([plan.part, act({ kind: 'startServer', hostId: member.hostId, containerId: id, name }), waitFor('the former server to follow the cluster', laterMs)])
  }
  if (!seen.value.inRecovery) return block('TwoServers', `The former server (container ${plan.running.name}) is not fenced and could take writes, although nobody is led there. Stop that container, and ask for help before anything else is done.`)
  if (seen.value.configHash === blueprint.configHash) return plan.part
  return merge([plan.part, act({ kind: 'installFiles', blueprint, containerId: plan.running.id }), waitFor('the former server to load its new configuration', soonMs)])
}

/**
 * What a follower holds back for the backup agent of its own time is as much as the agent of the serving instance still has to ship: no
 * less, so that nothing is missing in the archive should it serve again, and hardly more, so that its disk does not fill.
 */
function planSlots({ desired, observed }: PlanInput, instance: Instance): Part {
  const serving = servingInstance(desired)
  const primary = serving === undefined ? null : primaryMember(observed, serving)
  const shipped = primary === null ? null : positionOf(primary.postgres, walSlotName)
  return merge(instance.members.map(({ id }) => {
    const seen = observed.postgres.get(id)
    if (seen?.known !== true || !seen.value.inRecovery || shipped === null) return nothing
    const held = positionOf(seen.value, walSlotName)
    // from the other direction: nobody follows a follower
    const left = seen.value.slots.some(({ name, active }) => name === followerSlotName && !active) ? act({ kind: 'dropSlot', memberId: id, slot: followerSlotName }) : nothing
    return held === null || held + BigInt(walSegmentBytes) >= shipped ? left : merge([left, act({ kind: 'advanceSlot', memberId: id, slot: walSlotName, lsn: formatLsn(shipped) })])
  }))
}

function positionOf({ slots, lsn }: PostgresSeen, slot: string): Lsn | null {
  const seen = slots.find(({ name, walStatus }) => name === slot && walStatus !== 'lost')
  return seen === undefined ? null : (lsn - BigInt(Math.round(seen.retainedBytes))) as Lsn
}

/** Its lineage of backups belongs to the cluster now, whose own agent goes on with it. */
function agentGone({ names, observed }: PlanInput, instance: Instance): Part {
  return merge(instance.members.map(({ hostId }) => {
    const engine = engineOf(observed, hostId)
    const agent = engine.known ? containerNamed(engine.value, names.agent(instance.id)) : undefined
    return agent === undefined ? nothing : merge([act({ kind: 'removeContainer', hostId, containerId: agent.id, name: agent.name }), waitFor('the former backup agent to be gone', soonMs)])
  }))
}

/** The last look before the way back is closed: the cluster is whole, and a backup of it was read back. */
function planEnd(input: PlanInput, instance: Instance, serving: Instance | undefined): Part {
  const { desired, observed } = input
  const since = (instance.keptUntil ?? input.now).getTime() - rollbackTargetKeptMs
  const hasBackup = desired.backups.some((backup) => backup.instanceId === serving?.id && backup.state === 'verified' && backup.requestedAt.getTime() >= since)
  if (serving === undefined || !isWhole(observed, serving)) return waitFor('the cluster to be whole, before the former server is removed', laterMs)
  if (!hasBackup) return waitFor('a backup of the cluster, before the former server is removed', laterMs * 10)
  const message = 'The former server is removed: the cluster has been serving for as long as was agreed, is whole, and has a backup of its own.'
  return retire(instance, 'info', 'RollbackTargetRetired', message)
}

/** Containers, then what etcd holds, then volumes; each goes when it is seen gone, and the rows go last. */
function planRetired(input: PlanInput, instance: Instance): Part {
  const hosts = [...new Set(instance.members.map(({ hostId }) => hostId))]
  const engines = hosts.map((hostId) => ({ hostId, engine: engineOf(input.observed, hostId) }))
  const unseen = engines.find(({ engine }) => !engine.known)
  if (unseen !== undefined) return waitFor('a host to be seen, to remove what is left of a former instance', laterMs)
  const seen = engines.flatMap(({ hostId, engine }) => (engine.known ? [{ hostId, engine: engine.value }] : []))
  const containers = merge(seen.flatMap(({ hostId, engine }) => containersOf(engine, instance).map((one) => planContainerGone(hostId, one, engine.containers))))
  if (containers.waitingFor.length > 0) return containers
  const rest = merge([slotGone(input), scopeGone(input, instance), ...seen.map(({ hostId, engine }) => planVolumesOf(input, hostId, engine, instance))])
  if (rest.waitingFor.length > 0) return rest
  return { ...record({ kind: 'instanceGone', instanceId: instance.id }), requeueAfterMs: 0 }
}

function containersOf({ containers }: EngineSeen, { id }: Instance): readonly ContainerSeen[] {
  return containers.filter(({ labels }) => labels[label.instance] === id)
}

/** A standalone would keep WAL for a follower that is not there any more; that of a cluster goes with its configuration. */
function slotGone({ desired, observed }: PlanInput): Part {
  const serving = servingInstance(desired)
  if (serving?.kind !== 'standalone' || desired.instances.some(isFollower)) return nothing
  const primary = primaryMember(observed, serving)
  if (primary === null) return waitFor('the server to answer, to take away the slot of a former follower', laterMs)
  if (!primary.postgres.slots.some(({ name }) => name === followerSlotName)) return nothing
  return merge([act({ kind: 'dropSlot', memberId: primary.member.id, slot: followerSlotName }), waitFor('the slot of a former follower to be gone', soonMs)])
}

function scopeGone({ observed }: PlanInput, instance: Instance): Part {
  if (instance.cluster === null) return nothing
  const seen = clusterOf(observed, instance)
  if (!seen.known) return waitFor(`etcd to answer, to remove what it holds of the cluster (${seen.reason})`, laterMs)
  return seen.value.isEmpty ? nothing : merge([act({ kind: 'removeScope', instanceId: instance.id }), waitFor('what etcd holds of the cluster to be gone', soonMs)])
}
