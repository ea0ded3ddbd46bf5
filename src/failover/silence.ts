/** Keeps count of one kind of question to one member: for how long, and how many times in a row, it was not answered. Pure but for its state. */
import type { ProbeEvidence } from './evidence.ts'

export type Reply = 'answers' | 'refuses' | 'silent'

/** Times are milliseconds of a clock that only goes forward. */
export class Silence {
  #last: 'never' | Reply = 'never'
  #answeredAt = 0
  /** When the first of the unanswered questions was asked. */
  #since = 0
  #rounds = 0

  heard(reply: Reply, askedAt: number, now: number): void {
    if (reply === 'answers') {
      this.#answeredAt = now
      this.#rounds = 0
    } else {
      // from refused to silent, or back, is another beginning: silence alone is what is believed
      if (this.#last !== reply) [this.#since, this.#rounds] = [askedAt, 0]
      this.#rounds += 1
    }
    this.#last = reply
  }

  /** What we took for silence may have been our own sleep: it has to be seen again. */
  doubt(): void {
    if (this.#last === 'silent') this.#last = 'never'
    this.#rounds = 0
  }

  evidence(now: number): ProbeEvidence {
    if (this.#last === 'never') return { seen: 'never' }
    if (this.#last === 'answers') return { seen: 'answers', agoMs: Math.round(now - this.#answeredAt) }
    return { seen: this.#last, forMs: Math.round(now - this.#since), rounds: this.#rounds }
  }
}
