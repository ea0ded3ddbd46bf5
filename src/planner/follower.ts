/**
 * An instance beside the serving one. While it is prepared it is a cluster that follows; afterwards the former server follows in case of
 * a way back; at the end it is taken down. What must hold: what follows never comes up as more than a follower, and nothing of an
 * instance is removed before it was retired.
 */
import { clusterOf } from '../domain/cluster.ts'
import { isFollower, servingInstance, type Instance } from '../domain/desired.ts'
import { label } from '../domain/names.ts'
import type { ContainerSeen, EngineSeen } from '../domain/observed.ts'
import { act, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { engineOf, primaryMember } from '../domain/reading.ts'
import { planScope } from './cluster.ts'
import { planMember } from './clusterMember.ts'
import { sceneOf } from './clusterScene.ts'
import { planContainerGone, planVolumesOf } from './deletion.ts'
import { agentGone, planSlots, retire } from './followerParts.ts'
import { planRollbackTarget } from './rollbackTarget.ts'

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
