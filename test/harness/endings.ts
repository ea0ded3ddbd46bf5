/** What a suite's `before` makes is taken away at the suite's end, last made first, even when `before` fails half-way. */
import { after } from 'node:test'

export interface Endings {
  after(end: () => Promise<void>): void
}

const endTimeoutMs = 5 * 60_000

/** In the body of `describe`: a hook registered inside `before` would belong to that hook and run with it. */
export function endings(): Endings {
  const ends: (() => Promise<void>)[] = []
  after(async () => {
    const failures: unknown[] = []
    for (const end of ends.reverse()) await end().catch((error: unknown) => failures.push(error))
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be taken away')
  }, { timeout: endTimeoutMs })
  return { after: (end) => void ends.push(end) }
}
