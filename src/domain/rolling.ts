/**
 * Which member of a cluster is taken down next when several have to be: replicas one at a time, each seen synchronous again
 * before the next one goes, and the leader last, after another has taken its place. Pure.
 */
import { isWhole, leaderOf, replicasOf } from './cluster.ts'
import type { Instance, Member } from './desired.ts'
import type { Observed } from './observed.ts'

export type RollStep =
  | { readonly kind: 'done' }
  | { readonly kind: 'wait'; readonly what: string }
  | { readonly kind: 'takeDown'; readonly member: Member }
  /** The leader is the only one left: another has to lead first. */
  | { readonly kind: 'moveLeader'; readonly leader: Member }

/** `isDue`: whether this member still has to be taken down. */
export function nextRoll(observed: Observed, instance: Instance, isDue: (member: Member) => boolean): RollStep {
  const due = instance.members.filter(isDue)
  if (due.length === 0) return { kind: 'done' }
  const leader = leaderOf(observed, instance)
  if (leader === null) return { kind: 'wait', what: 'a leader to be seen' }
  if (!isWhole(observed, instance)) return { kind: 'wait', what: 'every replica to be synchronous' }
  const replica = replicasOf(instance, leader).find((member) => due.includes(member))
  return replica === undefined ? { kind: 'moveLeader', leader: leader.member } : { kind: 'takeDown', member: replica }
}
