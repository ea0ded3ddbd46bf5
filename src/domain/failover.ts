/**
 * An incident of a cluster as the failover guard tells it, for the control database to keep. The guard works without that
 * database, so what it tells may come late, twice, or first without and then with its outcome: the id makes it one.
 */
import type { EventNote } from './action.ts'

/** One line of the story, in the order in which things happened; a sentence for people. */
export interface StoryLine {
  readonly at: Date
  /** What was seen, what was concluded from it, what was done about it, and what came of that. */
  readonly part: 'seen' | 'concluded' | 'done' | 'result'
  readonly text: string
}

export interface FailoverOutcome {
  /** When it was over. */
  readonly at: Date
  /** CamelCase, stable: how it ended. */
  readonly reason: string
  /** Whether another member leads now. */
  readonly leaderChanged: boolean
  /** Member id; null when nobody was seen to lead. */
  readonly leaderId: string | null
  /** From the last moment at which the old leader may have acknowledged a write to the first at which the new one could; null: not measured. */
  readonly writeGapMs: number | null
  readonly facts: Readonly<Record<string, unknown>>
}

export interface FailoverRecord {
  /** A UUID, made by the guard. */
  readonly id: string
  readonly databaseId: string
  readonly instanceId: string
  /** When the verdict fell, by the clock of the controller that watched. */
  readonly at: Date
  /** The verdict in one camelCase word. */
  readonly verdict: string
  /** Everything that the verdict was drawn from, as JSON: a test draws it again. */
  readonly evidence: unknown
  /** Null while it goes on. */
  readonly outcome: FailoverOutcome | null
  readonly story: readonly StoryLine[]
  /** Who watched: the controller's name. */
  readonly controller: string
  /** What the team is told: of the verdict, and once there is one, of the outcome. Each is told once. */
  readonly notes: { readonly verdict: EventNote; readonly outcome: EventNote | null }
}

export interface FailoverRecorder {
  /** May be called again with the same id, at any time later. What is recorded stays; only an outcome that was missing is added. */
  record(incident: FailoverRecord): Promise<void>
}
