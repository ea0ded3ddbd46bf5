/** What a verdict can be, and the words for it. */
import type { Evidence, ProbeEvidence } from '../evidence.ts'
import { awakeMs, lateMs } from '../limits.ts'

/** A container's run: the id alone would also name its next run. */
export interface Run {
  readonly memberId: string
  readonly name: string
  readonly containerId: string
  readonly startedAt: string | null
}

/** What one transaction compares and puts again. */
export interface KeysToRelease {
  readonly leader: string
  readonly leaderModRevision: number
  readonly syncValue: string
  readonly syncModRevision: number
}

export type WaitReason =
  /** etcd does not answer, or did too long ago: who leads is not known. Failsafe may keep the leader going. */
  | 'EtcdUnknown'
  /** Patroni is in maintenance mode. */
  | 'ClusterPaused'
  /** Nobody holds the key: an election is under way, and it is Patroni's. */
  | 'NoLeader'
  | 'LeaderNotOurs'
  /** `/sync` names nobody who could take over: neither would the lease's end help. The leader has to come back. */
  | 'NobodyMayWin'
  /** Killing would end what still works, with nobody seen fit to take over. */
  | 'NobodyFitToTakeOver'
  | 'GuardUnwell'
  | 'NotLongEnough'
  /** The engine says dead, and yet somebody answers at its address. */
  | 'SomebodyAnswers'
  /** The engine cannot be asked, and the leader answers or refuses: its host lives. */
  | 'EngineUnknown'
  /** Host lost in quorum mode: the lease decides. */
  | 'QuorumModeHostLost'
  | 'NotStrict'
  | 'SyncNotOfLeader'
  | 'SyncMemberUnreachable'
  | 'SecondOpinionMissing'
  | 'ReplicasHearLeader'

export type KillReason =
  | 'Paused'
  /** Patroni and PostgreSQL, both. */
  | 'Unresponsive'
  /** PostgreSQL may well serve, but nobody keeps the lease: what follows is an election without anybody who fences. */
  | 'PatroniFrozen'
  /** As before; its process is not there. */
  | 'PatroniGone'
  | 'PostgresHung'
export type WakeReason = 'ReplicaDied' | 'PostgresRefuses'

export type Verdict =
  | { readonly kind: 'nothing' }
  /** Something is amiss, and it is not (yet) ours to act: Patroni's lease decides. */
  | { readonly kind: 'wait'; readonly reason: WaitReason; readonly member: string | null }
  /** `proof`: the run that the engine says is over. */
  | { readonly kind: 'releaseLeader'; readonly keys: KeysToRelease; readonly proof: Run & { readonly state: string } }
  /** Then look again: the key goes only when it is seen dead. */
  | { readonly kind: 'killLeader'; readonly because: KillReason; readonly run: Run }
  | { readonly kind: 'killReplica'; readonly because: KillReason; readonly run: Run }
  /** Patroni on the leader need not wait for its next cycle. */
  | { readonly kind: 'wakeLeader'; readonly because: WakeReason; readonly leader: string; readonly member: string }
  | { readonly kind: 'hostLost'; readonly leader: string; readonly others: readonly string[] }

export const nothing: Verdict = { kind: 'nothing' }

export function wait(reason: WaitReason, member: string | null = null): Verdict {
  return { kind: 'wait', reason, member }
}

export function isGuardWell({ guard }: Evidence): boolean {
  return guard.lateMs <= lateMs && guard.awakeMs >= awakeMs
}

/** Asked often enough, for long enough, and never answered. */
export function isSilent(probe: ProbeEvidence, forMs: number, rounds: number): boolean {
  return probe.seen === 'silent' && probe.forMs >= forMs && probe.rounds >= rounds
}

/** Nobody listens where somebody should, for long enough. */
export function isRefusing(probe: ProbeEvidence, forMs: number, rounds: number): boolean {
  return probe.seen === 'refuses' && probe.forMs >= forMs && probe.rounds >= rounds
}
