/**
 * Replicas of a leader that is well. One that died is taken out of `/sync` by the leader's next cycle, which need not be waited for;
 * one that hangs stalls commits until it is killed. Killing a replica never loses anything: its data stay, and it is started again.
 */
import type { Evidence, KnownKeys, MemberEvidence } from '../evidence.ts'
import { idleReplicaSilentMs, pausedMs, replicaPatroniSilentMs, replyOverdueMs, silentMs, silentRounds, wakeForMs } from '../limits.ts'
import { isGuardWell, isRefusing, isSilent, nothing, wait, type KillReason, type Verdict } from './words.ts'

export function judgeReplicas(evidence: Evidence, keys: KnownKeys, leader: MemberEvidence): Verdict {
  const replicas = evidence.members.filter(({ name }) => name !== leader.name)
  const hung = replicas.map((replica) => judgeHung(evidence, keys, leader, replica)).find(({ kind }) => kind !== 'nothing')
  const dead = replicas.find((replica) => holdsUpCommits(keys, replica) && hasJustDied(replica))
  if (dead !== undefined && leader.patroni.seen === 'answers') return { kind: 'wakeLeader', because: 'ReplicaDied', leader: leader.name, member: dead.name }
  return hung ?? nothing
}

function judgeHung(evidence: Evidence, keys: KnownKeys, leader: MemberEvidence, replica: MemberEvidence): Verdict {
  const because = hangReason(keys, leader, replica)
  const { memberId, name, container } = replica
  if (because === null || !container.known) return nothing
  if (!isGuardWell(evidence)) return wait('GuardUnwell', name)
  return { kind: 'killReplica', because, run: { memberId, name, containerId: container.id, startedAt: container.startedAt } }
}

function hangReason(keys: KnownKeys, leader: MemberEvidence, replica: MemberEvidence): KillReason | null {
  const { container, patroni, query } = replica
  if (!container.known) return null
  const stalls = keys.mode === 'strict' && holdsUpCommits(keys, replica)
  if (container.state === 'paused') return container.forMs >= (stalls ? pausedMs : idleReplicaSilentMs) ? 'Paused' : null
  if (container.state !== 'running') return null
  const enoughMs = stalls ? silentMs : idleReplicaSilentMs
  if (isSilent(patroni, enoughMs, silentRounds) && isSilent(query, enoughMs, silentRounds) && isUnheardBy(leader, replica)) return 'Unresponsive'
  if (isSilent(patroni, replicaPatroniSilentMs, silentRounds)) return 'PatroniFrozen'
  return isRefusing(patroni, replicaPatroniSilentMs, silentRounds) ? 'PatroniGone' : null
}

/** The leader's own view: that only we cannot reach the replica is no reason to kill it. */
function isUnheardBy({ said }: MemberEvidence, { name }: MemberEvidence): boolean {
  if (said === null) return false
  const replyMs = said.repliesMs[name]
  return replyMs === undefined || replyMs + said.agoMs >= replyOverdueMs
}

function holdsUpCommits({ sync }: KnownKeys, { name }: MemberEvidence): boolean {
  return sync?.standbys.includes(name) === true
}

function hasJustDied({ container }: MemberEvidence): boolean {
  return container.known && ['exited', 'dead', 'gone'].includes(container.state) && container.forMs < wakeForMs
}
