/**
 * A customer's program, for the demo: it writes (or reads) one row after the other through an endpoint, connects again when its
 * connection breaks, and remembers what was acknowledged and the longest time without.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

export interface Worked {
  /** Longest time between two successes, in milliseconds. */
  readonly gapMs: number
  readonly successes: number
}

export interface Worker {
  /** Successes so far. */
  count(): number
  /** Ends after the statement under way, and the longest gap since the start. */
  stop(): Promise<Worked>
}

const pauseMs = 5
/** A client that waits for ever on a dead connection measures its own patience, not the database. */
const answerLimitMs = 2_000

/** `work` is called with the number of the attempt; what it throws counts as not acknowledged. */
export function startWorker(settings: pg.ClientConfig, work: (connection: pg.Client, attempt: number) => Promise<void>): Worker {
  const stopping = new AbortController()
  let successes = 0
  let gapMs = 0
  let lastAt = performance.now()
  const succeed = (): void => {
    const now = performance.now()
    gapMs = Math.max(gapMs, now - lastAt)
    lastAt = now
    successes += 1
  }
  const running = (async (): Promise<void> => {
    let attempt = 0
    while (!stopping.signal.aborted) {
      await withConnection(settings, async (connection) => {
        while (!stopping.signal.aborted) {
          attempt += 1
          await work(connection, attempt)
          succeed()
          await sleep(pauseMs)
        }
      })
      await sleep(pauseMs)
    }
  })()
  return {
    count: () => successes,
    async stop() {
      stopping.abort()
      await running
      return { gapMs: Math.round(gapMs), successes }
    },
  }
}

/** Until it breaks: whatever broke it, the caller connects again. */
async function withConnection(settings: pg.ClientConfig, use: (connection: pg.Client) => Promise<void>): Promise<void> {
  const connection = new pg.Client({ ...settings, connectionTimeoutMillis: answerLimitMs, query_timeout: answerLimitMs })
  // a connection that breaks while nobody waits for an answer is told by the next query
  connection.on('error', () => undefined)
  try {
    await connection.connect()
    await use(connection)
  } catch {
    // counted by what was not acknowledged meanwhile
  } finally {
    await connection.end().catch(() => undefined)
  }
}
