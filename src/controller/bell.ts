/** A bell that remembers: rung while nobody listened, the next nap ends at once. So no wake is lost between two naps. */
import { EventEmitter, once } from 'node:events'

export interface Bell {
  ring(): void
  /** Sleeps at most `ms`; returns early when rung or aborted. */
  nap(ms: number, signal: AbortSignal): Promise<void>
}

export function createBell(): Bell {
  const emitter = new EventEmitter()
  let rung = false
  return {
    ring() {
      rung = true
      emitter.emit('ring')
    },
    async nap(ms, signal) {
      if (!rung && ms > 0 && !signal.aborted) {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(ms))])
        // rejects only when the limit ends the nap, which is how most naps end
        await once(emitter, 'ring', { signal: limit }).catch(() => undefined)
      }
      rung = false
    },
  }
}
