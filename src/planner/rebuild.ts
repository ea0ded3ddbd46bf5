/**
 * A replica that cannot follow any more is thrown away and copied from the leader, without anyone's help. What must hold:
 * there is a leader to copy from, and it is not this one; no commit waits for it; one member at a time; and when that does not
 * help, the next attempt waits as long as the trouble has lasted by then.
 */
import { patroniName } from '../domain/names.ts'
import type { Member } from '../domain/desired.ts'
import type { PatroniSeen } from '../domain/observed.ts'
import { act, merge, nothing, waitFor, type Part } from '../domain/part.ts'
import { containerOf, hasVolume, isCopying, isFullySeen, stateOf, type ClusterScene } from './clusterScene.ts'

/** Patroni tries pg_rewind and a start again and again by itself; what it has not mended by then it does not mend. */
export const startFailedMs = 60_000
/** Recovers its own WAL, which is bounded; beyond that it waits for WAL that the leader's history does not have. */
export const startingMs = 3 * 60_000
/** Runs, but gets WAL from nowhere: what it misses may come from the archive, or never. */
export const notStreamingMs = 10 * 60_000
const longestRestMs = 60 * 60_000
const soonMs = 300
const failedStates: ReadonlySet<string> = new Set(['start failed', 'restart failed', 'crashed', 'stopped', 'initdb failed', 'custom bootstrap failed'])

export function planRebuild(scene: ClusterScene): Part {
  const { input, instance } = scene
  // whatever else is under way waits for every replica: only another rebuild must not be met
  if (input.desired.operation?.kind === 'reinitialise' || instance.initialisedAt === null || !isFullySeen(scene)) return nothing
  const broken = instance.members.find((member) => isBroken(scene, member))
  if (broken === undefined) return nothing
  const busy = instance.members.find((member) => member.id !== broken.id && (hasVolume(scene, member) === false || isCopying(scene, member)))
  if (busy !== undefined) return waitFor(`member ${busy.ordinal} to be rebuilt, before member ${broken.ordinal}`, soonMs)
  const rest = restMs(scene, broken)
  if (rest > 0) return waitFor(`the next attempt to rebuild member ${broken.ordinal}`, rest)
  const because = `it could not follow the leader any more (${stateOf(scene, broken)})`
  return merge([
    act({ kind: 'reinitialiseMember', instanceId: instance.id, memberId: broken.id, because }),
    waitFor(`member ${broken.ordinal} to be copied from the leader`, soonMs),
  ])
}

function patroniOf({ input }: ClusterScene, { id }: Member): PatroniSeen | null {
  const seen = input.observed.patroni.get(id)
  return seen?.known === true ? seen.value : null
}

function isBroken(scene: ClusterScene, member: Member): boolean {
  const { leader, cluster, input } = scene
  const patroni = patroniOf(scene, member)
  if (leader === null || leader.member.id === member.id || !cluster.known || patroni === null || patroni.role === 'leader') return false
  if (cluster.value.sync?.standbys.includes(patroniName(member.id)) === true) return false
  const ageMs = input.now.getTime() - patroni.since.getTime()
  if (failedStates.has(patroni.state)) return ageMs >= startFailedMs
  if (patroni.state === 'starting') return ageMs >= startingMs
  return patroni.state === 'running' && patroni.replicationState !== 'streaming' && ageMs >= notStreamingMs
}

/** Since its container was made, the last attempt; the trouble began when the condition said so first. */
function restMs(scene: ClusterScene, member: Member): number {
  const { now, desired } = scene.input
  const since = containerOf(scene, member)?.since ?? now
  const trouble = desired.database.conditions.find(({ type, status }) => type === 'ReplicationHealthy' && status === 'false')
  const lasted = trouble === undefined ? 0 : Math.max(0, since.getTime() - trouble.changedAt.getTime())
  return Math.max(0, Math.min(longestRestMs, lasted) - (now.getTime() - since.getTime()))
}
