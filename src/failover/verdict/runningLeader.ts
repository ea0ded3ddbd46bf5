/** A leader whose container is there and not dead: is it still of use? Killing it needs somebody fit to take over. */
import type { Evidence, MemberEvidence, ProbeEvidence } from '../evidence.ts'
import {
  connectSilentMs, connectSilentRounds, freshMs, leaderSilentMs, leaderSilentRounds, leaseOverdueSeconds, pausedMs, silentMs, silentRounds, wakeForMs,
} from '../limits.ts'
import { isGuardWell, isRefusing, isSilent, nothing, wait, type KillReason, type Verdict } from './words.ts'

export function judgeRunningLeader(evidence: Evidence, leader: MemberEvidence): Verdict {
  const { name, memberId, container } = leader
  const because = killReason(evidence, leader)
  if (because === null) return isPatroniToBeWoken(leader) ? { kind: 'wakeLeader', because: 'PostgresRefuses', leader: name, member: name } : lesser(leader)
  if (!isGuardWell(evidence)) return wait('GuardUnwell', name)
  if (!isSomebodyFit(evidence, name)) return wait('NobodyFitToTakeOver', name)
  if (!container.known) return wait('EngineUnknown', name)
  return { kind: 'killLeader', because, run: { memberId, name, containerId: container.id, startedAt: container.startedAt } }
}

function killReason({ keys }: Evidence, { container, patroni, query, connect }: MemberEvidence): KillReason | null {
  if (container.known && container.state === 'paused') return container.forMs >= pausedMs ? 'Paused' : null
  if ([patroni, query].every((probe) => isSilent(probe, leaderSilentMs, leaderSilentRounds))) return 'Unresponsive'
  if (keys.known && isLeaseOverdue(keys.leader)) {
    if (isSilent(patroni, silentMs, silentRounds)) return 'PatroniFrozen'
    if (isRefusing(patroni, silentMs, silentRounds)) return 'PatroniGone'
  }
  if (patroni.seen === 'answers' && isSilent(connect, connectSilentMs, connectSilentRounds)) return 'PostgresHung'
  return null
}

/** An election of etcd refills every lease, which only makes this say no for longer. A lease that has ended is overdue. */
function isLeaseOverdue(leader: { readonly leaseSeconds: number | null; readonly grantedSeconds: number | null } | null): boolean {
  if (leader === null || leader.grantedSeconds === null || leader.leaseSeconds === null) return false
  return leader.leaseSeconds <= leader.grantedSeconds - leaseOverdueSeconds
}

/** Of those that `/sync` lets win: one that runs, answers, and is a replica by its own word. */
function isSomebodyFit({ keys, members }: Evidence, leader: string): boolean {
  if (!keys.known) return false
  const standbys = keys.sync?.standbys ?? []
  return members.some(({ name, container, patroni, query, said }) =>
    name !== leader && standbys.includes(name) && container.known && container.state === 'running'
    && isFresh(patroni) && isFresh(query) && said !== null && said.agoMs <= freshMs && said.inRecovery)
}

function isFresh(probe: ProbeEvidence): boolean {
  return probe.seen === 'answers' && probe.agoMs <= freshMs
}

/** PostgreSQL is gone and Patroni lives: it fails over by itself, at its next cycle. */
function isPatroniToBeWoken({ patroni, query }: MemberEvidence): boolean {
  return patroni.seen === 'answers' && query.seen === 'refuses' && query.forMs < wakeForMs
}

function lesser({ name, container, patroni, query, connect }: MemberEvidence): Verdict {
  const isPaused = container.known && container.state === 'paused'
  const isOdd = [patroni, query, connect].some((probe) => probe.seen === 'silent') || patroni.seen === 'refuses'
  return isPaused || isOdd ? wait('NotLongEnough', name) : nothing
}
