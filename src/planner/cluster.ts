/**
 * A cluster of three members and the etcd keys it lives by. What must hold, whatever state it is found in:
 *   no member is given an empty volume once the cluster was initialised, unless a leader is there to be copied from;
 *   nothing that serves is taken down unless the leader leads and every replica is synchronous;
 *   replicas go before the leader, and the leader only after another leads;
 *   what cannot be seen is neither made nor removed.
 * Patroni alone promotes, and the failover guard alone ends what hangs.
 */
import { isOwnCluster, isSynchronous, replicasOf } from '../domain/cluster.ts'
import type { Member } from '../domain/desired.ts'
import { act, block, merge, nothing, record, waitFor, type Part } from '../domain/part.ts'
import { planMember } from './clusterMember.ts'
import { planRoll } from './clusterRoll.ts'
import { stateOf, type ClusterScene } from './clusterScene.ts'
import { planStory } from './clusterStory.ts'
import { planCredentials } from './credentials.ts'
import { difference, isEmpty } from './difference.ts'
import { planRebuild } from './rebuild.ts'
import { planReadOnly } from './storage.ts'

const soonMs = 250
const laterMs = 1_000

export function planCluster(scene: ClusterScene): Part {
  const { instance } = scene
  const settings = planConfiguration(scene)
  // what heals comes first: only one of them may be disruptive
  return merge([
    planScope(scene),
    ...instance.members.map((member) => planMember(scene, member)),
    planLeader(scene),
    settings,
    planRebuild(scene),
    // settings that a restart is to find have to be there before it
    isEmpty(settings) ? planRoll(scene) : nothing,
    planStory(scene),
  ])
}

/** The scope is for the members to come; those that run keep their sessions while it is made anew. */
export function planScope({ input, cluster, instance }: ClusterScene): Part {
  if (!cluster.known) return waitFor(`etcd to answer (${cluster.reason})`, laterMs)
  const configuration = input.blueprints.configurations.get(instance.id)
  if (cluster.value.prepared || configuration === undefined) return nothing
  return merge([act({ kind: 'prepareScope', instanceId: instance.id, configuration }), waitFor('the scope in etcd to be prepared', 100)])
}

function planLeader(scene: ClusterScene): Part {
  const { input, instance, leader, cluster } = scene
  const foreign = instance.members.map((member) => foreignData(scene, member)).find((part) => part !== nothing) ?? nothing
  if (leader === null) return merge([foreign, waitFor('a leader', isAnyRunning(scene) ? soonMs : laterMs)])
  const identity = instance.systemIdentifier === null && cluster.known && cluster.value.systemIdentifier === leader.postgres.systemIdentifier
    ? record({ kind: 'instanceInitialised', instanceId: instance.id, systemIdentifier: leader.postgres.systemIdentifier })
    : nothing
  const missing = replicasOf(instance, leader).filter(({ id }) => !isSynchronous(input.observed, instance, leader, id))
  return merge([
    foreign,
    identity,
    planReadOnly(input, leader.member, leader.postgres),
    planCredentials(input, leader.member, leader.postgres),
    ...missing.map((member) => waitFor(`member ${member.ordinal} to be synchronous (${stateOf(scene, member)})`, soonMs)),
  ])
}

function isAnyRunning({ input, instance }: ClusterScene): boolean {
  return instance.members.some(({ id }) => input.observed.patroni.has(id))
}

function foreignData({ input, instance }: ClusterScene, member: Member): Part {
  const seen = input.observed.postgres.get(member.id)
  if (seen?.known !== true || isOwnCluster(instance, seen.value)) return nothing
  return block('ForeignData', `The data volume of member ${member.ordinal} holds another cluster (system identifier ${seen.value.systemIdentifier}, expected ${instance.systemIdentifier}). It is left alone; reinitialise the member to copy it from the leader.`)
}

/** Through etcd, where Patroni keeps it; every member takes it over within a second. */
function planConfiguration({ input, instance, cluster, leader }: ClusterScene): Part {
  const wanted = input.blueprints.configurations.get(instance.id)
  // Patroni writes it anew when the cluster is made: until a leader is there, what is found is not its last word
  if (wanted === undefined || leader === null || !cluster.known || cluster.value.config === null) return nothing
  const patch = difference(wanted, cluster.value.config)
  if (patch === null) return nothing
  return merge([act({ kind: 'configureCluster', instanceId: instance.id, patch }), waitFor('the cluster to take over its new configuration', soonMs)])
}
