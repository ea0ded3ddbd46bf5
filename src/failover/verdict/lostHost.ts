/**
 * A leader whose engine does not answer: whether it is dead cannot be known. In strict mode the procedure for lost hosts
 * (`hostLost.ts`) makes that unnecessary, if the replicas do not hear it either; in every other case the lease decides.
 */
import type { Evidence, KnownKeys, MemberEvidence } from '../evidence.ts'
import { freshMs, hostSilentRounds, opinionFreshMs, silentMs, unheardMs } from '../limits.ts'
import { isGuardWell, isSilent, nothing, wait, type Verdict } from './words.ts'

export function judgeLostHost(evidence: Evidence, keys: KnownKeys, leader: MemberEvidence): Verdict {
  const { name, container, patroni, query } = leader
  if (container.known) return nothing
  const answers = [patroni, query].some((probe) => probe.seen === 'answers' || probe.seen === 'refuses')
  if (answers) return wait('EngineUnknown', name)
  const believed = container.forMs >= silentMs && [patroni, query].every((probe) => isSilent(probe, silentMs, hostSilentRounds))
  if (!believed) return wait('NotLongEnough', name)
  if (!isGuardWell(evidence)) return wait('GuardUnwell', name)
  return judgeSync(keys, name) ?? secondOpinion(evidence, keys, name)
}

/** The keys say that every acknowledged commit is on each of the standbys they name, and that only these may win. */
function judgeSync({ mode, sync }: KnownKeys, name: string): Verdict | null {
  if (mode === 'quorum') return wait('QuorumModeHostLost', name)
  if (mode !== 'strict') return wait('NotStrict', name)
  if (sync === null || sync.leader !== name) return wait('SyncNotOfLeader', name)
  if (sync.standbys.length === 0 || sync.standbys.includes(name)) return wait('NobodyMayWin', name)
  return null
}

/** Every other member answers, and none of them hears the leader. */
function secondOpinion({ members }: Evidence, { sync }: KnownKeys, name: string): Verdict {
  const others = members.filter((member) => member.name !== name)
  const unreachable = (sync?.standbys ?? []).find((standby) => !others.some((other) => other.name === standby && isReachable(other)))
  if (unreachable !== undefined) return wait('SyncMemberUnreachable', unreachable)
  const mute = others.find((other) => !isReachable(other) || other.said === null || other.said.agoMs > opinionFreshMs)
  if (mute !== undefined) return wait('SecondOpinionMissing', mute.name)
  const hearing = others.find(({ said }) => said?.heardMs !== null && (said?.heardMs ?? 0) <= unheardMs)
  if (hearing !== undefined) return wait('ReplicasHearLeader', hearing.name)
  return { kind: 'hostLost', leader: name, others: others.map((other) => other.name) }
}

function isReachable({ container, query }: MemberEvidence): boolean {
  return container.known && container.state === 'running' && query.seen === 'answers' && query.agoMs <= freshMs
}
