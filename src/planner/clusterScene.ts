/** What every concern of a cluster looks at, and the readings that several of them need. Pure look-ups, no decisions. */
import { clusterOf, leaderOf, type Leader } from '../domain/cluster.ts'
import { servingInstance, type ClusterScope, type Instance, type Member } from '../domain/desired.ts'
import type { ClusterSeen, ContainerSeen, EngineSeen } from '../domain/observed.ts'
import type { PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import type { Sighting } from '../domain/sighting.ts'

export interface ClusterScene {
  readonly input: PlanInput
  readonly instance: Instance
  readonly scope: ClusterScope
  readonly cluster: Sighting<ClusterSeen>
  readonly leader: Leader | null
}

export function sceneOf(input: PlanInput, instance: Instance): ClusterScene | null {
  if (instance.cluster === null) return null
  return { input, instance, scope: instance.cluster, cluster: clusterOf(input.observed, instance), leader: leaderOf(input.observed, instance) }
}

/** Of a serving instance; null of another kind. */
export function servingScene(input: PlanInput): ClusterScene | null {
  const instance = servingInstance(input.desired)
  return instance === undefined ? null : sceneOf(input, instance)
}

/** In Patroni's words, for people. */
export function stateOf({ input }: ClusterScene, { id }: Member): string {
  const seen = input.observed.patroni.get(id)
  if (seen === undefined) return 'its Patroni does not run'
  if (!seen.known) return `its Patroni does not answer: ${seen.reason}`
  const { state, replicationState } = seen.value
  return replicationState === null ? state : `${state}, ${replicationState}`
}

/** Whether all that etcd held of an initialised cluster is gone: who may lead it is not known any more. */
export function isScopeLost({ instance, cluster, leader }: ClusterScene): boolean {
  return instance.initialisedAt !== null && leader === null && cluster.known && cluster.value.systemIdentifier === null
}

/** Every host of the cluster is seen. */
export function isFullySeen({ input, instance }: ClusterScene): boolean {
  return instance.members.every(({ hostId }) => engineOf(input.observed, hostId).known)
}

export function engineSeen({ input }: ClusterScene, { hostId }: Member): EngineSeen | null {
  const engine = engineOf(input.observed, hostId)
  return engine.known ? engine.value : null
}

/** Null while its host cannot be seen. */
export function hasVolume(scene: ClusterScene, member: Member): boolean | null {
  const name = scene.input.names.dataVolume(member.id)
  return engineSeen(scene, member)?.volumes.some((volume) => volume.name === name) ?? null
}

export function containerOf(scene: ClusterScene, member: Member): ContainerSeen | undefined {
  const engine = engineSeen(scene, member)
  return engine === null ? undefined : containerNamed(engine, scene.input.names.member(member.id))
}

export function podOf(scene: ClusterScene, member: Member): ContainerSeen | undefined {
  const engine = engineSeen(scene, member)
  return engine === null ? undefined : containerNamed(engine, scene.input.names.pod(member.id))
}

const copyingState = 'creating replica'

/** Whether it is filled with a copy of the leader's data now, as its Patroni says. */
export function isCopying({ input }: ClusterScene, { id }: Member): boolean {
  const seen = input.observed.patroni.get(id)
  return seen?.known === true && seen.value.state === copyingState
}
