/**
 * Wakes that engines' events gave rise to, on their way to the queue: gathered for a moment, written together, and kept until
 * the control database has them.
 */
import type { Store } from '../store/store.ts'
import type { LoopReport } from './loop.ts'

/** A starting container makes a burst of events. */
const gatherMs = 5
const retryMs = 1_000

export interface Wakes {
  add(databaseId: string): void
  /** Writes what was gathered and takes no more. */
  close(): Promise<void>
}

export function gatherWakes(queue: Pick<Store['queue'], 'wake'>, trouble: LoopReport['trouble'], written: () => void): Wakes {
  const woken = new Set<string>()
  let timer: NodeJS.Timeout | null = null
  let closed = false

  const write = async (): Promise<void> => {
    timer = null
    const ids = [...woken]
    woken.clear()
    const outcomes = await Promise.allSettled(ids.map((id) => queue.wake(id)))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      trouble('a wake could not be written; it is tried again', failed.reason)
      outcomes.forEach((outcome, index) => outcome.status === 'rejected' && woken.add(ids[index] ?? ''))
      gather(retryMs)
    }
    if (ids.length > 0) written()
  }
  const gather = (ms: number): void => {
    if (timer === null && !closed) timer = setTimeout(() => void write(), ms)
  }

  return {
    add(databaseId) {
      woken.add(databaseId)
      gather(gatherMs)
    },
    async close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await write()
    },
  }
}
