/** A bell that remembers: rung while nobody listened, the next nap ends at once. So no wake is lost between two naps. */
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
        const over = Promise.withResolvers<undefined>()
        endNap = () => over.resolve(undefined)
        const timer = setTimeout(endNap, ms)
        signal.addEventListener('abort', endNap)
        await over.promise
        signal.removeEventListener('abort', endNap)
        clearTimeout(timer)
      }
      rung = false
    },
  }
}
