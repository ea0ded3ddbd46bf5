/**
 * From evidence to verdict: pure, without a clock, the one place where the guard decides. It never promotes. It lets go of a leader's
 * key only when the engine says by container id that the leader does not run; everything short of that is killed first, or waited for.
 * `docs/failover.md` has the rules and why they lose nothing; the table of evidence is `test/failover/verdict.test.ts`.
 */
import type { Evidence, KnownKeys, MemberEvidence, ProbeEvidence } from './evidence.ts'
import { freshMs, ghostMs } from './limits.ts'
import { judgeLostHost } from './verdict/lostHost.ts'
import { judgeReplicas } from './verdict/replicas.ts'
import { judgeRunningLeader } from './verdict/runningLeader.ts'
import { nothing, wait, type KeysToRelease, type Verdict } from './verdict/words.ts'

export type { KeysToRelease, KillReason, Run, Verdict, WaitReason, WakeReason } from './verdict/words.ts'

export function judge(told: Evidence): Verdict {
  const evidence = { ...told, members: told.members.map(ofThisRun) }
  const { keys } = evidence
  if (!keys.known || keys.agoMs > freshMs) return anyTrouble(evidence) ? wait('EtcdUnknown') : nothing
  if (keys.leader === null) return wait('NoLeader')
  const { name } = keys.leader
  const leader = evidence.members.find((member) => member.name === name)
  if (leader === undefined) return wait('LeaderNotOurs', name)
  if (keys.paused) return anyTrouble(evidence) && !keys.moving ? wait('ClusterPaused') : nothing
  if (!leader.container.known) return judgeLostHost(evidence, keys, leader)
  switch (leader.container.state) {
    case 'exited':
    case 'dead':
    case 'gone':
      return judgeDeadLeader(keys, leader)
    case 'created':
    case 'restarting':
    case 'removing':
      return wait('NotLongEnough', name)
    case 'running':
    case 'paused': {
      const verdict = judgeRunningLeader(evidence, leader)
      return verdict.kind === 'nothing' ? judgeReplicas(evidence, keys, leader) : verdict
    }
  }
}

/**
 * What a former run of the container left unanswered says nothing of this one. A member that was down for longer than the limits, and
 * was started again, would be killed before it could answer, and again each time.
 */
function ofThisRun(member: MemberEvidence): MemberEvidence {
  const { container, patroni, query, connect } = member
  if (!container.known || container.state !== 'running') return member
  const atMost = (probe: ProbeEvidence): ProbeEvidence =>
    probe.seen === 'silent' || probe.seen === 'refuses' ? { ...probe, forMs: Math.min(probe.forMs, container.forMs) } : probe
  return { ...member, patroni: atMost(patroni), query: atMost(query), connect: atMost(connect) }
}

/** Nothing but the engine's word is proof, and nothing but this lets the key go without the procedure for lost hosts. */
function judgeDeadLeader(keys: KnownKeys, { memberId, name, container, patroni, query }: MemberEvidence): Verdict {
  if (!container.known) return wait('EngineUnknown', name)
  const { id: containerId, startedAt, state, forMs } = container
  const answersAfterDeath = [patroni, query].some((probe) => probe.seen === 'answers' && forMs - probe.agoMs > ghostMs)
  if (answersAfterDeath) return wait('SomebodyAnswers', name)
  const release = keysToRelease(keys)
  if (release === null) return wait('NobodyMayWin', name)
  return { kind: 'releaseLeader', keys: release, proof: { memberId, name, containerId, startedAt, state } }
}

/** Null when nobody but the leader itself may win: then the key's end would help nobody. */
export function keysToRelease({ leader, sync }: KnownKeys): KeysToRelease | null {
  if (leader === null || sync === null || !mayWin({ leader, sync }).some((name) => name !== leader.name)) return null
  return { leader: leader.name, leaderModRevision: leader.modRevision, syncValue: sync.value, syncModRevision: sync.modRevision }
}

/** Whom Patroni lets into the race: those that `/sync` names, its leader among them. In quorum mode others only with their votes. */
function mayWin({ sync }: Pick<KnownKeys, 'leader' | 'sync'>): readonly string[] {
  if (sync === null || sync.leader === null) return []
  return sync.standbys.length === 0 ? [sync.leader] : [sync.leader, ...sync.standbys]
}

function anyTrouble({ members }: Evidence): boolean {
  return members.some(({ container, patroni, query }) =>
    !container.known || container.state !== 'running' || [patroni, query].some((probe) => probe.seen === 'silent' || probe.seen === 'refuses'))
}
