/**
 * A customer's program, for the demo: it writes (or reads) one row after the other through an endpoint, connects again when its
 * connection breaks, and remembers what broke it and the longest time without an answer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describeError } from '../domain/errors.ts'

export interface Worked {
  /** Longest time between two successes, in milliseconds. */
  readonly gapMs: number
  /** Why connections could not be made, or broke; each reason once. */
  readonly errors: ReadonlySet<string>
}

export interface Worker {
  /** Successes so far. */
  count(): number
  /** Ends after the statement under way, and the longest gap since the start. */
  stop(): Promise<Worked>
}

const pauseMs = 5

/** What `work` throws counts as not acknowledged. `patienceMs`: for one answer; who waits for ever on a dead connection measures that, not the database. */
export function startWorker(settings: pg.ClientConfig, patienceMs: number, work: (connection: pg.Client) => Promise<void>): Worker {
  const stopping = new AbortController()
  let successes = 0
  const errors = new Set<string>()
  let gapMs = 0
  let lastAt = performance.now()
  const succeed = (): void => {
    const now = performance.now()
    gapMs = Math.max(gapMs, now - lastAt)
    lastAt = now
    successes += 1
  }
  const running = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const broken = await withConnection(settings, patienceMs, async (connection) => {
        while (!stopping.signal.aborted) {
          await work(connection)
          succeed()
          await sleep(pauseMs)
        }
      })
      if (broken !== null) errors.add(broken)
      await sleep(pauseMs)
    }
  })()
  return {
    count: () => successes,
    async stop() {
      stopping.abort()
      await running
      return { gapMs: Math.round(gapMs), errors }
    },
  }
}

/** Until it breaks: whatever broke it, which is the answer then, the caller connects again. */
async function withConnection(settings: pg.ClientConfig, patienceMs: number, use: (connection: pg.Client) => Promise<void>): Promise<string | null> {
  const connection = new pg.Client({ ...settings, connectionTimeoutMillis: patienceMs, query_timeout: patienceMs })
  let broken: Error | null = null
  // one that breaks while nobody waits for an answer is told by the next query, but not why
  connection.on('error', (error) => { broken ??= error })
  try {
    await connection.connect()
    await use(connection)
    return null
  } catch (error) {
    return describeError(broken ?? error)
  } finally {
    await connection.end().catch(() => undefined)
  }
}
