/**
 * Singleton duties: what one controller at a time does for the whole installation. A row in the control database decides
 * who; a duty that fails is tried again at its next time and reported, and never stops the loop.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError, isHoldfastError } from '../domain/errors.ts'
import type { DutyLease, Store } from '../store/store.ts'

export interface Duty {
  readonly name: string
  readonly everySeconds: number
  /** Bounds one run; the lease is a little longer. */
  readonly timeoutSeconds: number
  run(signal: AbortSignal): Promise<void>
}

export interface DutyOptions {
  readonly store: Pick<Store, 'duties'>
  readonly holder: string
  readonly duties: readonly Duty[]
  readonly trouble: (message: string, error: unknown) => void
}

/** How often a controller looks whether a duty is due and nobody does it. */
const lookMs = 5_000
const leaseGraceSeconds = 15

export function startDuties(options: DutyOptions): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const main = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      for (const duty of options.duties) await attempt(options, duty, stopping.signal)
      await sleep(lookMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await main
    },
  }
}

async function attempt(options: DutyOptions, duty: Duty, stop: AbortSignal): Promise<void> {
  if (stop.aborted) return
  try {
    const { name, everySeconds, timeoutSeconds } = duty
    const lease = await options.store.duties.claim(name, { holder: options.holder, leaseSeconds: timeoutSeconds + leaseGraceSeconds, everySeconds })
    if (lease !== null) await perform(options, duty, lease, stop)
  } catch (error) {
    options.trouble('a duty could not be claimed or ended', error)
  }
}

async function perform({ store, trouble }: DutyOptions, duty: Duty, lease: DutyLease, stop: AbortSignal): Promise<void> {
  try {
    await duty.run(AbortSignal.any([stop, AbortSignal.timeout(duty.timeoutSeconds * 1_000)]))
    await store.duties.done(lease)
  } catch (error) {
    trouble(`the duty ${duty.name} failed`, error)
    const code = isHoldfastError(error) ? error.code : 'Internal'
    await store.duties.done(lease, { error: { code, message: describeError(error) } })
  }
}
