/**
 * What a cluster's users are told beside its conditions: that another member leads, and that a lost replica is back. Each is
 * told once, by the pass that finds the control database to say otherwise.
 */
import type { EventNote } from '../domain/action.ts'
import { isWhole } from '../domain/cluster.ts'
import { merge, nothing, record, type Part } from '../domain/part.ts'
import { wasSaid } from '../domain/reading.ts'
import { isDue } from './clusterRoll.ts'
import type { ClusterScene } from './clusterScene.ts'

/** Why a replica is missing while it is copied: the reason of the condition ReplicationHealthy. */
export const rebuildingReason = 'MemberRebuilding'

export function planStory(scene: ClusterScene): Part {
  return merge([planLeaderSeen(scene), planRebuilt(scene)])
}

function planLeaderSeen(scene: ClusterScene): Part {
  const { instance, leader } = scene
  if (leader === null || instance.systemIdentifier === null) return nothing
  const { member, postgres: { timeline } } = leader
  const before = instance.lastLeader
  if (before?.memberId === member.id && before.timeline === timeline) return nothing
  const seen = { kind: 'leaderSeen', instanceId: instance.id, memberId: member.id, timeline } as const
  return before === null ? record(seen) : record(seen, { kind: 'event', note: leaderNote(scene, before, { memberId: member.id, timeline }) })
}

type LeaderKept = NonNullable<ClusterScene['instance']['lastLeader']>

function leaderNote(scene: ClusterScene, from: LeaderKept, to: LeaderKept): EventNote {
  const name = (id: string): string => `member ${scene.instance.members.find((member) => member.id === id)?.ordinal ?? 'unknown'}`
  const facts = { fromMemberId: from.memberId, toMemberId: to.memberId, timeline: to.timeline, timelineBefore: from.timeline }
  if (from.memberId === to.memberId) {
    return { severity: 'info', reason: 'LeaderPromotedAgain', message: `The leader, ${name(to.memberId)}, was promoted once more and leads on timeline ${to.timeline}.`, facts }
  }
  if (isPlanned(scene)) return { severity: 'info', reason: 'SwitchedOver', message: `The leader moved from ${name(from.memberId)} to ${name(to.memberId)} as planned, on timeline ${to.timeline}.`, facts }
  const message = `The leader, ${name(from.memberId)}, was lost; ${name(to.memberId)} leads in its place, on timeline ${to.timeline}. Nothing acknowledged is lost; the old leader joins again as a replica.`
  return { severity: 'warning', reason: 'FailedOver', message, facts }
}

/** Somebody asked for it, or the members are being replaced. */
function isPlanned(scene: ClusterScene): boolean {
  const { operation } = scene.input.desired
  if (operation !== null) return operation.kind === 'switchover' || operation.kind === 'restart' || operation.kind === 'changeTier'
  return scene.instance.members.some((member) => isDue(scene, member))
}

function planRebuilt({ input, instance }: ClusterScene): Part {
  if (!wasSaid(input.desired, 'ReplicationHealthy', rebuildingReason) || !isWhole(input.observed, instance)) return nothing
  const message = 'The lost replica was copied anew from the leader; every replica is synchronous again.'
  return record({ kind: 'event', note: { severity: 'info', reason: 'MemberRebuilt', message } })
}
