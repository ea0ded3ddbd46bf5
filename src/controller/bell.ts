/** A bell that remembers: rung while nobody listened, the next nap ends at once. So no wake is lost between two naps. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Bell {
  ring(): void
  /** Sleeps at most `ms`; returns early when rung or aborted. One at a time. */
  nap(ms: number, signal: AbortSignal): Promise<void>
}

export function createBell(): Bell {
  let rung = false
  let endNap = (): void => undefined
  return {
    ring() {
      rung = true
      endNap()
    },
    async nap(ms, signal) {
      if (!rung && ms > 0 && !signal.aborted) {
        const over = new AbortController()
        endNap = () => over.abort()
        signal.addEventListener('abort', endNap)
        // rejects when the nap ends early, which is no error
        await sleep(ms, undefined, { signal: over.signal }).catch(() => undefined)
        signal.removeEventListener('abort', endNap)
      }
      rung = false
    },
  }
}
