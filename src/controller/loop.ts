/**
 * The loop: claims databases that are due, runs a pass over each, releases them with the time of their next look.
 * Everything that happens elsewhere only wakes; a wake that comes during a pass makes the database due again.
 * With the control database away it does nothing: databases keep running.
 */
import { describeError, HoldfastError, isHoldfastError } from '../domain/errors.ts'
import type { Lease } from '../store/store.ts'
import { backoffMs } from './backoff.ts'
import { createBell } from './bell.ts'
import { runPass, type PassContext, type PassResult } from './pass.ts'

export interface LoopSettings {
  readonly holder: string
  /** Databases worked on at the same time. */
  readonly concurrency: number
  readonly leaseSeconds: number
  /** A settled database is looked at again after this. */
  readonly resyncMs: number
  /** Bounds a pass; below the lease, so that no effect outlives the right to it. */
  readonly passTimeoutMs: number
}

export interface LoopReport {
  readonly passEnded: (lease: Lease, outcome: PassOutcome, result: PassResult | null, ms: number, error: unknown) => void
  readonly trouble: (message: string, error: unknown) => void
}

export type PassOutcome = 'settled' | 'progressing' | 'failed' | 'leaseLost' | 'gone'

export interface Loop {
  /** Something happened to this database: look now. */
  wake(databaseId: string): void
  /** Another controller, or the API, wrote a wake: look at the queue now. */
  ring(): void
  /** When the loop last asked the queue successfully; for readiness. */
  lastAlive(): Date | null
  /** Ends after the passes under way have ended or were cut at their time limit. */
  stop(): Promise<void>
}

/** Asked at least this often, whatever the queue said: bounds the harm of a lost notification. */
const longestNapMs = 1_000
const troubleNapMs = 1_000
/** Wakes from engines are written together after this pause: a starting container makes a burst of them. */
const wakeGatherMs = 5

export function startLoop(context: PassContext, settings: LoopSettings, report: LoopReport): Loop {
  const stopping = new AbortController()
  const bell = createBell()
  const running = new Map<string, Promise<void>>()
  const woken = new Set<string>()
  let alive: Date | null = null
  let gathering = false

  const writeWakes = async (): Promise<void> => {
    gathering = false
    const ids = [...woken]
    woken.clear()
    const outcomes = await Promise.allSettled(ids.map((id) => context.store.queue.wake(id)))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    // the event is lost for now; the resync finds what it told
    if (failed !== undefined) report.trouble('a wake could not be written', failed.reason)
    bell.ring()
  }

  const work = async (lease: Lease): Promise<void> => {
    try {
      await workOn(context, settings, report, lease)
    } catch (error) {
      report.trouble('a pass could not be released; its lease will run out', error)
    } finally {
      running.delete(lease.databaseId)
      bell.ring()
    }
  }

  const claimDue = async (): Promise<number> => {
    const free = settings.concurrency - running.size
    if (free <= 0) return longestNapMs
    const leases = await context.store.queue.claim({ holder: settings.holder, leaseSeconds: settings.leaseSeconds, limit: free })
    alive = new Date()
    for (const lease of leases) running.set(lease.databaseId, work(lease))
    if (leases.length === free) return longestNapMs
    return Math.min((await context.store.queue.nextDueInMs()) ?? longestNapMs, longestNapMs)
  }

  const main = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const nap = await claimDue().catch((error: unknown) => {
        report.trouble('the queue could not be asked', error)
        return troubleNapMs
      })
      await bell.nap(nap, stopping.signal)
    }
    await Promise.allSettled(running.values())
  })()

  return {
    wake(databaseId) {
      woken.add(databaseId)
      if (gathering || stopping.signal.aborted) return
      gathering = true
      setTimeout(() => void writeWakes(), wakeGatherMs)
    },
    ring: () => bell.ring(),
    lastAlive: () => alive,
    async stop() {
      stopping.abort()
      await main
    },
  }
}

async function workOn(context: PassContext, settings: LoopSettings, report: LoopReport, lease: Lease): Promise<void> {
  const started = performance.now()
  const ended = (outcome: PassOutcome, result: PassResult | null, error: unknown): void => {
    report.passEnded(lease, outcome, result, performance.now() - started, error)
  }
  try {
    const result = await runPass(context, lease, AbortSignal.timeout(settings.passTimeoutMs))
    if (result === null) return ended('gone', null, null)
    await releaseAfter(context, settings, lease, result)
    ended(result.settledGeneration === null ? 'progressing' : 'settled', result, null)
  } catch (error) {
    if (isHoldfastError(error) && error.code === 'LeaseLost') return ended('leaseLost', null, error)
    await releaseFailed(context, lease, error)
    ended('failed', null, error)
  }
}

async function releaseAfter({ store }: PassContext, settings: LoopSettings, lease: Lease, result: PassResult): Promise<void> {
  const { settledGeneration, requeueAfterMs, conditions, members } = result
  const dueInMs = Math.min(requeueAfterMs ?? settings.resyncMs, settings.resyncMs)
  await store.queue.release(lease, { dueInMs, conditions, members, ...(settledGeneration !== null && { settledGeneration }) })
}

async function releaseFailed({ store }: PassContext, lease: Lease, error: unknown): Promise<void> {
  const code = isHoldfastError(error) ? error.code : 'Internal'
  const dueInMs = backoffMs(lease.attempts, Math.random())
  await store.queue.release(lease, { dueInMs, error: { code, message: describeError(error) } }).catch((cause: unknown) => {
    throw new HoldfastError('ControlDatabaseUnavailable', 'the end of a failed pass could not be written', { cause })
  })
}
