/** Waits until a pass that began after a wake has settled the newest generation. Bounded in time and in number. */
import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError } from '../domain/errors.ts'
import type { Store } from '../store/store.ts'

/** Each waiter asks the control database this often: short beside any pass, cheap beside any request. */
const pollMs = 100
/** More than anyone watches; each costs ten small queries a second. */
const mostWaiters = 50

export type SettledWait = (databaseId: string, wakeSeq: number, timeoutMs: number, signal: AbortSignal) => Promise<{ readonly settled: boolean; readonly waitedMs: number }>

export function createSettledWait(store: Store): SettledWait {
  let waiters = 0
  return async (databaseId, wakeSeq, timeoutMs, signal) => {
    if (waiters >= mostWaiters) {
      throw new HoldfastError('RateLimited', 'Too many requests are waiting for databases to settle.', { next: 'Ask without wait, and look at the database now and then.' })
    }
    waiters += 1
    try {
      return await pollUntilSettled(store, databaseId, wakeSeq, timeoutMs, signal)
    } finally {
      waiters -= 1
    }
  }
}

async function pollUntilSettled(store: Store, databaseId: string, wakeSeq: number, timeoutMs: number, signal: AbortSignal) {
  const began = performance.now()
  const waitedMs = (): number => Math.round(performance.now() - began)
  while (!signal.aborted) {
    if (await isSettled(store, databaseId, wakeSeq)) return { settled: true, waitedMs: waitedMs() }
    if (waitedMs() + pollMs > timeoutMs) break
    await delay(pollMs)
  }
  return { settled: false, waitedMs: waitedMs() }
}

async function isSettled(store: Store, databaseId: string, wakeSeq: number): Promise<boolean> {
  const state = await store.queue.settledState(databaseId)
  return state.settledSeq >= wakeSeq && state.observedGeneration === state.generation
}
