/** The conditions of a cluster: whether it takes writes, and whether every replica holds all that was acknowledged. */
import { isSynchronous, replicasOf, synchronousReplicas } from '../domain/cluster.ts'
import { claim, type ConditionClaim } from '../domain/conditions.ts'
import type { Member } from '../domain/desired.ts'
import { rebuildingReason } from './clusterStory.ts'
import { containerOf, hasVolume, isCopying, stateOf, type ClusterScene } from './clusterScene.ts'

/** Null when nothing but what is true of any database is to be said. */
export function clusterPrimary(scene: ClusterScene): ConditionClaim | null {
  const { leader, cluster, input, instance } = scene
  if (leader !== null) {
    if (synchronousReplicas(input.observed, instance, leader).length > 0) return null
    return claim('PrimaryAvailable', 'false', 'NoSynchronousReplica', `Member ${leader.member.ordinal} leads, but commits wait until a replica is synchronous.`)
  }
  if (!cluster.known) return claim('PrimaryAvailable', 'unknown', 'EtcdUnreachable', `Who leads the cluster cannot be seen: ${cluster.reason}. A leader that runs goes on; no other takes over meanwhile.`)
  if (instance.initialisedAt === null) return claim('PrimaryAvailable', 'false', 'BeingMade', 'The cluster is being made; no member leads it yet.')
  const ordinal = instance.members.find((member) => containerOf(scene, member)?.state === 'running')?.ordinal
  return claim('PrimaryAvailable', 'false', 'NoLeader', ordinal === undefined ? 'No member of the cluster runs.' : 'No member leads the cluster now; Patroni chooses one among those that hold every acknowledged write.')
}

export function replicationHealthy(scene: ClusterScene): ConditionClaim {
  const { leader, cluster, input, instance } = scene
  if (!cluster.known) return claim('ReplicationHealthy', 'unknown', 'EtcdUnreachable', `The cluster cannot be seen: ${cluster.reason}.`)
  if (leader === null) return claim('ReplicationHealthy', 'false', 'NoLeader', 'No member leads the cluster now, so no replica follows.')
  const missing = replicasOf(instance, leader).filter(({ id }) => !isSynchronous(input.observed, instance, leader, id))
  if (missing.length === 0) return claim('ReplicationHealthy', 'true', 'Synchronous', 'Every replica is synchronous: it holds every acknowledged write.')
  const what = missing.map((member) => `member ${member.ordinal} (${stateOf(scene, member)})`).join(', ')
  return claim('ReplicationHealthy', 'false', reasonFor(scene, missing), `Not synchronous: ${what}. The condition Progressing says what is done about it.`)
}

function reasonFor(scene: ClusterScene, missing: readonly Member[]): string {
  const { database } = scene.input.desired
  if (database.observedGeneration === 0) return 'BeingMade'
  if (missing.some((member) => hasVolume(scene, member) === false || isCopying(scene, member))) return rebuildingReason
  return missing.some((member) => containerOf(scene, member)?.state !== 'running') ? 'ReplicaMissing' : 'ReplicaBehind'
}
