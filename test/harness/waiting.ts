/** Waits for named conditions within a limit, which a failure names with what was seen last. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Waiting {
  readonly limitMs?: number
  readonly everyMs?: number
}

/** Not yet: what is seen instead, for the failure's message. */
export class NotYet {
  readonly seen: string

  constructor(seen: string) {
    this.seen = seen
  }
}

const usualLimitMs = 60_000
const usualEveryMs = 100

export async function until<T>(what: string, look: () => Promise<T | NotYet>, { limitMs = usualLimitMs, everyMs = usualEveryMs }: Waiting = {}): Promise<T> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const found = await look()
    if (!(found instanceof NotYet)) return found
    if (performance.now() > deadline) throw new Error(`not within ${limitMs / 1_000} s: ${what}; last seen: ${found.seen}`)
    await sleep(everyMs)
  }
}
