/**
 * The loop: claims databases that are due, runs a pass over each, releases them with the time of their next look.
 * Everything that happens elsewhere only wakes; a wake that comes during a pass makes the database due again.
 * With the control database away it does nothing: databases keep running.
 */
import { describeError, HoldfastError, isHoldfastError } from '../domain/errors.ts'
import { machineVersions } from '../operations/index.ts'
import type { Lease, Store } from '../store/store.ts'
import { backoffMs } from './backoff.ts'
import { createBell } from './bell.ts'
import { runPass, type PassContext, type PassResult, type PassStore } from './pass.ts'
import { createPatience, type Patience } from './patience.ts'
import { gatherWakes } from './wakes.ts'

export interface LoopContext extends PassContext {
  readonly store: PassStore & { readonly queue: Pick<Store['queue'], 'claim' | 'nextDueInMs' | 'release' | 'wake'> }
}

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
  readonly wake: (databaseId: string) => void
  /** Another controller, or the API, wrote a wake: look at the queue now. */
  readonly ring: () => void
  /** When the loop last asked the queue successfully; for readiness. */
  lastAlive(): Date | null
  /** Ends after the passes under way have ended or were cut at their time limit. */
  stop(): Promise<void>
}

/** Asked at least this often, whatever the queue said: bounds the harm of a lost notification. */
const longestNapMs = 1_000
/** An item may be due that nobody can claim just now: the queue is not asked for it without a pause. */
const shortestNapMs = 20
/** Timers may end a moment early, and an item that is not due yet is not claimed. */
const timerLeadMs = 1
const troubleNapMs = 1_000

export function startLoop(context: LoopContext, settings: LoopSettings, report: LoopReport): Loop {
  const stopping = new AbortController()
  const bell = createBell()
  const worker: Worker = { context, settings, report, patience: createPatience() }
  const running = new Set<Promise<void>>()
  let alive: Date | null = null
  /** Wakes heard so far, and whether others may have been due when all hands were full: only then is the queue asked after a pass. */
  let heard = 0
  let isFull = false
  const hear = (): void => {
    heard += 1
    bell.ring()
  }
  const wakes = gatherWakes(context.store.queue, report.trouble, hear)

  const work = (lease: Lease, heardBefore: number): void => {
    const pass = workOn(worker, lease)
      .catch((error: unknown) => {
        report.trouble('a pass could not be released; its lease will run out', error)
        return longestNapMs
      })
      .then((dueInMs) => {
        running.delete(pass)
        if (isFull || heard !== heardBefore) bell.ring()
        else if (dueInMs < longestNapMs) setTimeout(() => bell.ring(), dueInMs + timerLeadMs).unref()
      })
    running.add(pass)
  }

  const claimDue = async (): Promise<number> => {
    const free = settings.concurrency - running.size
    isFull = free <= 0
    if (isFull) return longestNapMs
    // before the claim: a wake that it did not see any more may be heard before its answer
    const heardBefore = heard
    const leases = await context.store.queue.claim({ holder: settings.holder, leaseSeconds: settings.leaseSeconds, machineVersions, limit: free })
    alive = new Date()
    for (const lease of leases) work(lease, heardBefore)
    isFull = leases.length === free
    // what we work on tells us itself when it is due again, and of the rest we hear
    if (leases.length > 0) return longestNapMs
    const dueInMs = (await context.store.queue.nextDueInMs()) ?? longestNapMs
    return Math.min(Math.max(dueInMs, shortestNapMs), longestNapMs)
  }

  const main = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const nap = await claimDue().catch((error: unknown) => {
        report.trouble('the queue could not be asked', error)
        return troubleNapMs
      })
      await bell.nap(nap, stopping.signal)
    }
    await Promise.allSettled(running)
    await wakes.close()
  })()

  return {
    wake: (databaseId) => wakes.add(databaseId),
    ring: hear,
    lastAlive: () => alive,
    async stop() {
      stopping.abort()
      await main
    },
  }
}

interface Worker {
  readonly context: LoopContext
  readonly settings: LoopSettings
  readonly report: LoopReport
  readonly patience: Patience
}

/** In how many milliseconds the database is due again, unless it is woken before. */
async function workOn(worker: Worker, lease: Lease): Promise<number> {
  const { context, settings, report } = worker
  const started = performance.now()
  const ended = (outcome: PassOutcome, result: PassResult | null, error: unknown, dueInMs: number): number => {
    report.passEnded(lease, outcome, result, performance.now() - started, error)
    return dueInMs
  }
  try {
    const result = await runPass(context, lease, AbortSignal.timeout(settings.passTimeoutMs))
    if (result === null) return ended('gone', null, null, longestNapMs)
    const dueInMs = await releaseAfter(worker, lease, result)
    if (result.failure !== null) return ended('failed', result, result.failure, dueInMs)
    return ended(result.settledGeneration === null ? 'progressing' : 'settled', result, null, dueInMs)
  } catch (error) {
    if (isLeaseLost(error)) return ended('leaseLost', null, error, longestNapMs)
    return ended('failed', null, error, await releaseFailed(context, lease, error))
  }
}

function isLeaseLost(error: unknown): boolean {
  return isHoldfastError(error) && error.code === 'LeaseLost'
}

/** What was seen is kept even when an action failed: a database that is down must not go on being shown as up. */
async function releaseAfter({ context: { store }, settings, patience }: Worker, lease: Lease, result: PassResult): Promise<number> {
  const { settledGeneration, requeueAfterMs, conditions, members, failure } = result
  if (failure !== null) {
    const restMs = backoffMs(lease.attempts, Math.random())
    await store.queue.release(lease, { dueInMs: restMs, conditions, members, error: failureOf(failure) })
    return restMs
  }
  const wishMs = Math.max(requeueAfterMs ?? settings.resyncMs, patience.restMs(lease.databaseId, result))
  const dueInMs = Math.min(wishMs, settings.resyncMs)
  await store.queue.release(lease, { dueInMs, conditions, members, ...(settledGeneration !== null && { settledGeneration }) })
  return dueInMs
}

async function releaseFailed({ store }: LoopContext, lease: Lease, error: unknown): Promise<number> {
  const dueInMs = backoffMs(lease.attempts, Math.random())
  try {
    await store.queue.release(lease, { dueInMs, error: failureOf(error) })
    return dueInMs
  } catch (cause) {
    // somebody else has the database by now, and ends it better
    if (isLeaseLost(cause)) return longestNapMs
    throw new HoldfastError('ControlDatabaseUnavailable', 'the end of a failed pass could not be written', { cause })
  }
}

function failureOf(error: unknown): { code: string; message: string; next?: string } {
  const known = isHoldfastError(error) ? error : null
  return { code: known?.code ?? 'Internal', message: describeError(error), ...(known?.next !== undefined && { next: known.next }) }
}
