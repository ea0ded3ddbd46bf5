/**
 * One member of a cluster: its data volume, the pod that owns its network, and the container that lives in the pod's network.
 * A member is made and started behind its pod and never outlives it: without the network it was started in it reaches nobody.
 * Only the controller starts a member again, and not before it is known who leads in its place.
 */
import type { Blueprint } from '../domain/blueprint.ts'
import type { Member } from '../domain/desired.ts'
import { label, patroniName } from '../domain/names.ts'
import type { ContainerSeen } from '../domain/observed.ts'
import { act, block, merge, nothing, waitFor, type Part } from '../domain/part.ts'
import { containerOf, isScopeLost, podOf, type ClusterScene } from './clusterScene.ts'
import { planVolume } from './clusterVolume.ts'
import { refusedExitCode } from './containers.ts'
import { planServer } from './clusterServer.ts'
import { planSize } from './storage.ts'

const soonMs = 100
const laterMs = 1_000

interface Station {
  readonly scene: ClusterScene
  readonly member: Member
  readonly what: string
  readonly podBlueprint: Blueprint
  readonly blueprint: Blueprint
  readonly pod: ContainerSeen | undefined
}

export function planMember(scene: ClusterScene, member: Member): Part {
  const volume = planVolume(scene, member)
  if (volume !== 'present') return volume
  const { pods, members } = scene.input.blueprints
  const [podBlueprint, blueprint] = [pods.get(member.id), members.get(member.id)]
  if (podBlueprint === undefined || blueprint === undefined) return waitFor(`the certificate of member ${member.ordinal} to be issued`, laterMs)
  const station = { scene, member, what: `member ${member.ordinal}`, podBlueprint, blueprint, pod: podOf(scene, member) }
  const container = containerOf(scene, member)
  return merge([planSize(scene.input, member), container === undefined ? planAbsent(station) : planPresent(station, container)])
}

function planPresent(station: Station, seen: ContainerSeen): Part {
  const { what } = station
  switch (seen.state) {
    case 'running':
      return planRunning(station, seen)
    case 'created':
    case 'exited':
    case 'dead':
      return planStopped(station, seen)
    case 'paused':
      return block('ContainerPaused', `${capital(what)} is paused on its engine; unpause container ${seen.name} to go on.`)
    case 'restarting':
    case 'removing':
      return waitFor(`${what} to leave the state "${seen.state}"`, laterMs)
  }
}

/** A pod that is younger than the run of its member has another network than the one that the member was started in. */
function planRunning(station: Station, seen: ContainerSeen): Part {
  const { pod, what } = station
  const hasNetwork = pod?.state === 'running' && pod.since <= seen.since
  if (hasNetwork) return planServer(station.scene, { ...station, container: seen })
  if (pod?.state === 'paused') return pausedPod(pod)
  const end = act({ kind: 'killContainer', hostId: station.member.hostId, containerId: seen.id, name: seen.name })
  return merge([end, pod === undefined ? nothing : planPod(station, pod), waitFor(`${what} to be ended: the network that it was started in is gone`, soonMs)])
}

function planStopped(station: Station, seen: ContainerSeen): Part {
  const { scene, member, what, pod, blueprint } = station
  const rest = restMs(station, seen.since)
  if (rest > 0) return waitFor(`another member to lead in place of ${what}, or its turn to be started again`, rest)
  const target = { hostId: member.hostId, containerId: seen.id, name: seen.name }
  // made for a pod that is gone or has to go: a container never changes the network that it was made for
  const isOutdated = pod === undefined || isStale(pod, station.podBlueprint) || (isStale(seen, blueprint) && seen.state !== 'created')
  if (isOutdated) return merge([act({ kind: 'removeContainer', ...target }), waitFor(`${what} to be made anew`, soonMs)])
  if (seen.exitCode === refusedExitCode) return refused(station, seen)
  if (isScopeLost(scene)) return scopeLost()
  if (pod.state !== 'running') return planPod(station, pod)
  if (seen.state === 'created') return making(station)
  return merge([act({ kind: 'startContainer', ...target }), waitFor(`${what} to be started again`, soonMs)])
}

function planAbsent(station: Station): Part {
  const { scene, what, pod, podBlueprint } = station
  if (pod === undefined) return merge([act({ kind: 'createContainer', blueprint: podBlueprint }), waitFor(`the pod of ${what} to be made`, soonMs)])
  if (pod.state !== 'running' || isStale(pod, podBlueprint)) return planPod(station, pod)
  if (isScopeLost(scene)) return scopeLost()
  if (scene.cluster.known && !scene.cluster.value.prepared) return waitFor(`the scope in etcd, to make ${what}`, soonMs)
  const rest = restMs(station, null)
  if (rest > 0) return waitFor(`another member to lead in place of ${what}`, rest)
  // nobody knows what a first member would make of a scope that cannot be seen
  if (!scene.cluster.known && scene.instance.initialisedAt === null) return waitFor(`etcd to answer, to make ${what}`, laterMs)
  return making(station)
}

function making({ what, blueprint }: Station): Part {
  return merge([act({ kind: 'createContainer', blueprint }), waitFor(`${what} to be made`, soonMs)])
}

/** Of a pod whose member does not run, or has to be ended anyway. */
function planPod({ member, what, podBlueprint }: Station, pod: ContainerSeen): Part {
  const target = { hostId: member.hostId, containerId: pod.id, name: pod.name }
  switch (pod.state) {
    case 'created':
      return merge([act({ kind: 'createContainer', blueprint: podBlueprint }), waitFor(`the pod of ${what} to be made`, soonMs)])
    case 'running':
      return isStale(pod, podBlueprint) ? merge([act({ kind: 'removeContainer', ...target }), waitFor(`the pod of ${what} to be made anew`, soonMs)]) : nothing
    case 'exited':
    case 'dead':
      if (isStale(pod, podBlueprint)) return merge([act({ kind: 'removeContainer', ...target }), waitFor(`the pod of ${what} to be made anew`, soonMs)])
      return merge([act({ kind: 'startContainer', ...target }), waitFor(`the pod of ${what} to be started again`, soonMs)])
    case 'paused':
      return pausedPod(pod)
    case 'restarting':
    case 'removing':
      return waitFor(`the pod of ${what} to leave the state "${pod.state}"`, laterMs)
  }
}

function pausedPod(pod: ContainerSeen): Part {
  return block('ContainerPaused', `A member's pod is paused on its engine; unpause container ${pod.name} to go on.`)
}

export function isStale(seen: ContainerSeen, blueprint: Blueprint): boolean {
  return seen.labels[label.spec] !== blueprint.specHash
}

/** The guard needs less than a second to take the key from a leader that is dead; without it the old leader does best to come back. */
const guardMs = 3_000
/** One that ends again and again is started at longer and longer intervals. */
const longestRestMs = 30_000
const restShare = 1 / 8

/**
 * How long a member that ended rests. A leader that comes back at once would take its own key again, and with it the time that
 * another one needs to take over. `endedAt`: null when its container is gone, which tells no time.
 */
function restMs(station: Station, endedAt: Date | null): number {
  const { now } = station.scene.input
  const isAwaited = isAnotherAwaited(station)
  if (endedAt === null) return isAwaited ? soonMs : 0
  const age = now.getTime() - endedAt.getTime()
  const rest = isAwaited ? guardMs : crashRestMs(station, endedAt)
  return Math.max(0, rest - age)
}

/** Nobody takes writes yet, and a member that runs may take over: an election gets the machine to itself. */
function isAnotherAwaited({ scene, member }: Station): boolean {
  const { cluster, instance, leader } = scene
  const sync = cluster.known ? cluster.value.sync : null
  if (leader !== null || sync === null) return false
  const mayLead = [sync.leader, ...sync.standbys]
  return instance.members.some((other) => other.id !== member.id && mayLead.includes(patroniName(other.id)) && containerOf(scene, other)?.state === 'running')
}

/** While commits wait for this very member nothing is gained by patience. */
function crashRestMs({ scene }: Station, endedAt: Date): number {
  const { cluster, leader, input } = scene
  const unhealthy = input.desired.database.conditions.find(({ type, status }) => type === 'ReplicationHealthy' && status === 'false')
  if (leader === null || unhealthy === undefined || !cluster.known || (cluster.value.sync?.standbys.length ?? 0) === 0) return 0
  return Math.min(longestRestMs, Math.max(0, endedAt.getTime() - unhealthy.changedAt.getTime()) * restShare)
}

function refused({ what }: Station, seen: ContainerSeen): Part {
  return block('StartRefused', `${capital(what)} refused to start (exit code ${refusedExitCode}): its volume carries a fence, or other data. The logs of container ${seen.name} say which. To copy it anew from the leader, reinitialise the member.`)
}

function scopeLost(): Part {
  return block('ClusterStateLost', 'etcd holds nothing of this cluster any more, so it is not known which member has every acknowledged write. No member is started. Put etcd\'s snapshot back, or restore the database from its latest backup.')
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}
