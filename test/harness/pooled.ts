/** A client of the pool that keeps its one session, as an application does: what a planned change costs it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { errorCode, openSession } from './ha/session.ts'

export interface PooledClient {
  readonly errors: readonly string[]
  /** Between two answers. */
  readonly longestGapMs: number
  readonly answers: number
  stop(): Promise<void>
}

const pauseMs = 5
const loginMs = 10_000
const askMs = 60_000

/** Clients that come anew for each statement: what they wait for may be the login, too. */
export async function startNewcomer(config: pg.ClientConfig, text: string): Promise<PooledClient> {
  return startPooled(config, text, { comesAnew: true })
}

/** Asks the same prepared statement again and again. A session that was ended is counted as an error, and made anew. */
export async function startPooled(config: pg.ClientConfig, text: string, { comesAnew } = { comesAnew: false }): Promise<PooledClient> {
  const seen = { errors: [] as string[], longestGapMs: 0, answers: 0 }
  const end = new AbortController()
  let session = await openSession({ ...config, query_timeout: askMs }, loginMs)
  let answeredAt = performance.now()
  const ask = async (): Promise<void> => {
    try {
      if (comesAnew) {
        session.leave()
        session = await openSession({ ...config, query_timeout: askMs }, askMs)
      }
      await session.client.query({ name: 'again', text })
      seen.longestGapMs = Math.max(seen.longestGapMs, performance.now() - answeredAt)
      answeredAt = performance.now()
      seen.answers += 1
    } catch (error) {
      seen.errors.push(`${errorCode(error)}: ${error instanceof Error ? error.message : String(error)}`)
      session.leave()
      session = await openSession({ ...config, query_timeout: askMs }, loginMs)
    }
  }
  const going = (async () => {
    while (!end.signal.aborted) {
      await ask()
      await sleep(pauseMs)
    }
  })()
  // whoever stops it hears of it
  going.catch(() => undefined)
  return {
    get errors() { return seen.errors },
    get longestGapMs() { return seen.longestGapMs },
    get answers() { return seen.answers },
    async stop() {
      end.abort()
      await going
      session.leave()
    },
  }
}
