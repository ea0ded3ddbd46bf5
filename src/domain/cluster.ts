/**
 * Readings of a cluster of three members: who leads it, and on whom commits wait. Pure. Three witnesses have to agree before
 * a member counts as leader: the key in etcd, its own PostgreSQL, and the instance's identity.
 */
import { createHash } from 'node:crypto'
import type { ClusterScope, Instance, Member } from './desired.ts'
import { dcsNamespace, patroniName } from './names.ts'
import type { ClusterSeen, Observed, PostgresSeen, WalSenderSeen } from './observed.ts'
import type { Sighting } from './sighting.ts'

/** All keys of a cluster begin with this. */
export function scopePrefix(installation: string, { scope }: ClusterScope): string {
  return `${dcsNamespace(installation)}${scope}/`
}

/** Below the prefix: says for which user and password the scope was made. Patroni does not know it and leaves it alone. */
export const scopeMarkKey = 'holdfast'

/** Names the user and password that a scope was made for without giving the password away. */
export function scopeMark({ user, password }: ClusterScope): string {
  return createHash('sha256').update(`${user}\n${password.reveal()}`).digest('hex')
}

/** Whether what answers is the instance's own cluster. Before the first look at it, any cluster is. */
export function isOwnCluster(instance: Instance, seen: PostgresSeen): boolean {
  return instance.systemIdentifier === null || instance.systemIdentifier === seen.systemIdentifier
}

export function clusterOf(observed: Observed, instance: Instance): Sighting<ClusterSeen> {
  return observed.clusters.get(instance.id) ?? { known: false, reason: 'its keys in etcd were not looked at yet' }
}

export interface Leader {
  readonly member: Member
  readonly postgres: PostgresSeen
}

/** Null also when the witnesses do not agree, as during every move of the leader. */
export function leaderOf(observed: Observed, instance: Instance): Leader | null {
  const cluster = clusterOf(observed, instance)
  const member = cluster.known ? instance.members.find(({ id }) => patroniName(id) === cluster.value.leader) : undefined
  const seen = member === undefined ? undefined : observed.postgres.get(member.id)
  if (member === undefined || seen?.known !== true) return null
  return seen.value.inRecovery || !isOwnCluster(instance, seen.value) ? null : { member, postgres: seen.value }
}

/** The leader's connection to a replica, as the leader sees it. */
export function senderTo({ postgres }: Leader, memberId: string): WalSenderSeen | undefined {
  return senderNamed(postgres, patroniName(memberId))
}

/** In Patroni's dynamic configuration, which leaves it alone: the operation for which it is paused. */
export const pausedForKey = 'holdfast_paused_for'

export function senderNamed({ walSenders }: PostgresSeen, name: string): WalSenderSeen | undefined {
  return walSenders.find(({ applicationName }) => applicationName === name)
}

/**
 * Whether a server that follows for itself, as `name`, receives what the leader writes. One that went another way when leaders changed is
 * connected again and again, and streams for moments: what is sent to it is of an older timeline.
 */
export function receivesFrom(leader: PostgresSeen, follower: PostgresSeen, name: string): boolean {
  return senderNamed(leader, name)?.state === 'streaming' && follower.receivedTimeline === leader.timeline
}

/** Commits wait for it, or for as many as there are with it, by etcd's word and the leader's: it holds everything acknowledged. */
export function isSynchronous(observed: Observed, instance: Instance, leader: Leader, memberId: string): boolean {
  const cluster = clusterOf(observed, instance)
  const sender = senderTo(leader, memberId)
  if (!cluster.known || sender?.state !== 'streaming') return false
  return (sender.syncState === 'sync' || sender.syncState === 'quorum') && cluster.value.sync?.standbys.includes(patroniName(memberId)) === true
}

export function synchronousReplicas(observed: Observed, instance: Instance, leader: Leader): readonly Member[] {
  return replicasOf(instance, leader).filter(({ id }) => isSynchronous(observed, instance, leader, id))
}

export function replicasOf(instance: Instance, leader: Leader): readonly Member[] {
  return instance.members.filter(({ id }) => id !== leader.member.id)
}

/** Whether one member may be taken away on purpose: the leader leads and every replica is synchronous. */
export function isWhole(observed: Observed, instance: Instance): boolean {
  const leader = leaderOf(observed, instance)
  return leader !== null && replicasOf(instance, leader).every(({ id }) => isSynchronous(observed, instance, leader, id))
}
