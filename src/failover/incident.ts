/** One verdict that was acted on, or that was left to the lease, as it is told afterwards: its evidence, its story, how it ended. */
import { randomUUID } from 'node:crypto'
import type { EventNote } from '../domain/action.ts'
import type { FailoverOutcome, FailoverRecord, StoryLine } from '../domain/failover.ts'
import type { WatchedCluster } from './cluster.ts'
import type { Evidence } from './evidence.ts'
import type { Verdict } from './verdict.ts'

export class Incident {
  readonly #record: Omit<FailoverRecord, 'outcome' | 'story' | 'notes'>
  readonly #note: EventNote
  readonly #story: StoryLine[]
  readonly #facts: Record<string, unknown> = {}
  #outcome: FailoverOutcome | null = null
  #outcomeNote: EventNote | null = null

  /** `kind`: of the verdict, or what else was decided on this evidence. */
  constructor(cluster: WatchedCluster, controller: string, kind: string, { severity, reason, message }: Words, evidence: Evidence) {
    const at = new Date(evidence.at)
    this.#record = { id: randomUUID(), databaseId: cluster.databaseId, instanceId: cluster.instanceId, at, verdict: kind, evidence, controller }
    this.#note = { severity, reason, message, facts: { verdictId: this.#record.id } }
    this.#story = [{ at, part: 'concluded', text: message }]
  }

  tell(part: StoryLine['part'], text: string): void {
    this.#story.push({ at: new Date(), part, text })
  }

  /** Beside the story, for programs. */
  fact(name: string, value: unknown): void {
    this.#facts[name] = value
  }

  end(outcome: Omit<FailoverOutcome, 'at' | 'facts'>, note: Omit<EventNote, 'facts'> | null): void {
    this.#outcome = { at: new Date(), ...outcome, facts: { ...this.#facts } }
    this.#outcomeNote = note === null ? null : { ...note, facts: { verdictId: this.#record.id, writeGapMs: outcome.writeGapMs } }
    if (note !== null) this.tell('result', note.message)
  }

  get record(): FailoverRecord {
    return { ...this.#record, story: [...this.#story], outcome: this.#outcome, notes: { verdict: this.#note, outcome: this.#outcomeNote } }
  }
}

export type Words = Pick<EventNote, 'severity' | 'reason' | 'message'>

/** One sentence for people. */
export function wordsOf(verdict: Verdict): Words {
  switch (verdict.kind) {
    case 'nothing':
      return { severity: 'info', reason: 'FailedOverByPatroni', message: 'Patroni changed the leader by itself, before the guard had anything to do' }
    case 'wait':
      return {
        severity: 'warning', reason: 'FailoverLeftToLease',
        message: `Something is amiss${verdict.member === null ? '' : ` with ${verdict.member}`}, but the guard has no proof to act on (${verdict.reason}): Patroni's lease decides`,
      }
    case 'releaseLeader':
      return {
        severity: 'warning', reason: 'LeaderDied',
        message: `The leader ${verdict.proof.name} is dead: its container ${verdict.proof.containerId.slice(0, 12)}, started ${verdict.proof.startedAt ?? 'never'}, is ${verdict.proof.state}; its leader key is removed`,
      }
    case 'killLeader':
      return { severity: 'warning', reason: 'LeaderFenced', message: `The leader ${verdict.run.name} is of no use any more (${verdict.because}): its container is killed` }
    case 'killReplica':
      return { severity: 'warning', reason: 'ReplicaFenced', message: `The replica ${verdict.run.name} hangs (${verdict.because}): its container is killed, so that commits do not wait for it` }
    case 'wakeLeader':
      return {
        severity: 'info', reason: verdict.because,
        message: verdict.because === 'ReplicaDied'
          ? `The replica ${verdict.member} died: the leader is woken to stop waiting for it`
          : `PostgreSQL of the leader ${verdict.leader} is gone while its Patroni lives: Patroni is woken to fail over`,
      }
    case 'hostLost':
      return { severity: 'warning', reason: 'LeaderHostLost', message: `The host of the leader ${verdict.leader} is lost, and no replica hears the leader: its leader key is removed by the procedure for lost hosts` }
  }
}
