/**
 * Hears of wakes as they are committed, on a connection of its own. Only a hint: whoever listens must also look at the
 * queue by time, and at everything after a gap.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg, { type Pool } from 'pg'

/** A database was woken; null: the connection was (re)made, so wakes may have been missed. */
export type OnWake = (databaseId: string | null) => void

const channel = 'holdfast_wake'
const firstPauseMs = 100
const longestPauseMs = 5_000

/** Ends when the signal is aborted. Never throws: while the control database is away it keeps trying. */
export async function listenForWakes(pool: Pool, onWake: OnWake, signal: AbortSignal): Promise<void> {
  let pauseMs = firstPauseMs
  while (!signal.aborted) {
    const listened = await listenOnce(pool, onWake, signal)
    pauseMs = listened ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs)
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
  }
}

/** Until the connection ends; false when there never was one. */
async function listenOnce(pool: Pool, onWake: OnWake, signal: AbortSignal): Promise<boolean> {
  const client = new pg.Client({ ...pool.options, keepAlive: true })
  const ended = new Promise<void>((resolve) => {
    client.on('error', () => resolve())
    client.on('end', () => resolve())
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  client.on('notification', ({ payload }) => onWake(payload ?? null))
  try {
    await client.connect()
    await client.query(`listen ${channel}`)
    onWake(null)
    await ended
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
