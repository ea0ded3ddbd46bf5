/**
 * Keeps the last answer to a question by key, and asks again when it is too old, forgotten, or about something else.
 * A question that is already being asked is not asked twice. A failure is an answer too: unknown, with the reason.
 */
import { isDeepStrictEqual } from 'node:util'
import { describeError, isHoldfastError } from '../domain/errors.ts'
import type { Clock } from '../domain/ports.ts'
import { known, unknown, type Sighting } from '../domain/sighting.ts'

export interface Question<T> {
  readonly key: string
  /** What the answer is about; an answer about something else is none. */
  readonly subject: string
  readonly freshMs: number
  /** For how long "unknown" is answer enough; by default not at all. */
  readonly retryMs?: number
  readonly ask: () => Promise<T>
}

interface Entry<T> {
  readonly subject: string
  sighting: Sighting<T> | null
  askedAt: number
  pending: Promise<Sighting<T>> | null
  usedAt: number
}

export class Answers<T> {
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry<T>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The answer, asked for if need be. Never rejects. */
  async current(question: Question<T>): Promise<Sighting<T>> {
    const entry = this.#entryOf(question)
    if (entry.sighting !== null && !this.#isStale(entry, question)) return entry.sighting
    return entry.pending ?? this.#ask(entry, question)
  }

  /** The answer as it is, at once, null before the first one; a stale one is renewed behind the caller's back. */
  latest(question: Question<T>, onChange: () => void): Sighting<T> | null {
    const entry = this.#entryOf(question)
    const before = entry.sighting
    if (this.#isStale(entry, question) && entry.pending === null) {
      void this.#ask(entry, question).then((after) => {
        if (this.#entries.get(question.key) === entry && differ(before, after)) onChange()
      })
    }
    return before
  }

  /** What was answered last, without asking. */
  peek(key: string): Sighting<T> | null {
    return this.#entries.get(key)?.sighting ?? null
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }

  /** Drops what nobody has wanted to know since then. */
  dropUnusedSince(time: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.usedAt < time) this.#entries.delete(key)
    }
  }

  #entryOf({ key, subject }: Question<T>): Entry<T> {
    const now = this.#clock.now().getTime()
    const kept = this.#entries.get(key)
    if (kept !== undefined && kept.subject === subject) {
      kept.usedAt = now
      return kept
    }
    // a new object, so that an answer still on its way to the old one is not mistaken for an answer to this question
    const entry: Entry<T> = { subject, sighting: null, askedAt: now, pending: null, usedAt: now }
    this.#entries.set(key, entry)
    return entry
  }

  #isStale({ sighting, askedAt }: Entry<T>, { freshMs, retryMs = 0 }: Question<T>): boolean {
    if (sighting === null) return true
    return this.#clock.now().getTime() - askedAt >= (sighting.known ? freshMs : retryMs)
  }

  #ask(entry: Entry<T>, { ask }: Question<T>): Promise<Sighting<T>> {
    // the time of asking, not of the answer: what changed in between may not be in it
    const askedAt = this.#clock.now()
    const pending = ask().then(
      (value): Sighting<T> => known(value, askedAt),
      (error: unknown): Sighting<T> => unknown(reasonOf(error), { distrust: isHoldfastError(error) && error.facts.distrust === true }),
    )
    entry.pending = pending
    entry.askedAt = askedAt.getTime()
    return pending.then((sighting) => {
      entry.sighting = sighting
      entry.pending = null
      return sighting
    })
  }
}

/** The reason alone, where the error names one: who was asked is clear from where the answer is shown. */
export function reasonOf(error: unknown): string {
  if (!isHoldfastError(error)) return describeError(error)
  const { reason } = error.facts
  return typeof reason === 'string' && error.code === 'MemberUnreachable' ? reason : error.message
}

function differ<T>(before: Sighting<T> | null, after: Sighting<T>): boolean {
  if (before === null || before.known !== after.known) return true
  return before.known && after.known && !isDeepStrictEqual(before.value, after.value)
}
