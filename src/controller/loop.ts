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
/** An item may be due that nobody can claim just now: the queue is not asked for it without a pause. */
const shortestNapMs = 20
const troubleNapMs = 1_000
/** Wakes from engines are written together after this pause: a starting container makes a burst of them. */
const wakeGatherMs = 5

export function startLoop(context: LoopContext, settings: LoopSettings, report: LoopReport): Loop {
  const stopping = new AbortController()
  const bell = createBell()
  const worker: Worker = { context, settings, report, patience: createPatience() }
  const running = new Set<Promise<void>>()
  const wakes = gatherWakes(context, report, () => bell.ring())
  let alive: Date | null = null

  const work = (lease: Lease): void => {
    const pass = workOn(worker, lease)
      .catch((error: unknown) => report.trouble('a pass could not be released; its lease will run out', error))
      .finally(() => {
        running.delete(pass)
        bell.ring()
      })
    running.add(pass)
  }

  const claimDue = async (): Promise<number> => {
    const free = settings.concurrency - running.size
    if (free <= 0) return longestNapMs
    const leases = await context.store.queue.claim({ holder: settings.holder, leaseSeconds: settings.leaseSeconds, machineVersions, limit: free })
    alive = new Date()
    for (const lease of leases) work(lease)
    if (leases.length === free) return longestNapMs
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
    ring: () => bell.ring(),
    lastAlive: () => alive,
    async stop() {
      stopping.abort()
      await main
    },
  }
}

interface Wakes {
  add(databaseId: string): void
  /** Writes what was gathered and takes no more. */
  close(): Promise<void>
}

function gatherWakes({ store }: LoopContext, report: LoopReport, written: () => void): Wakes {
  const woken = new Set<string>()
  let timer: NodeJS.Timeout | null = null
  let closed = false

  const write = async (): Promise<void> => {
    timer = null
    const ids = [...woken]
    woken.clear()
    const outcomes = await Promise.allSettled(ids.map((id) => store.queue.wake(id)))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      report.trouble('a wake could not be written; it is tried again', failed.reason)
      outcomes.forEach((outcome, index) => outcome.status === 'rejected' && woken.add(ids[index] ?? ''))
      gather(troubleNapMs)
    }
    if (ids.length > 0) written()
  }
  const gather = (ms: number): void => {
    if (timer === null && !closed) timer = setTimeout(() => void write(), ms)
  }

  return {
    add(databaseId) {
      woken.add(databaseId)
      gather(wakeGatherMs)
    },
    async close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await write()
    },
  }
}

interface Worker {
  readonly context: LoopContext
  readonly settings: LoopSettings
  readonly report: LoopReport
  readonly patience: Patience
}

async function workOn(worker: Worker, lease: Lease): Promise<void> {
  const { context, settings, report } = worker
  const started = performance.now()
  const ended = (outcome: PassOutcome, result: PassResult | null, error: unknown): void => {
    report.passEnded(lease, outcome, result, performance.now() - started, error)
  }
  try {
    const result = await runPass(context, lease, AbortSignal.timeout(settings.passTimeoutMs))
    if (result === null) return ended('gone', null, null)
    await releaseAfter(worker, lease, result)
    if (result.failure !== null) return ended('failed', result, result.failure)
    ended(result.settledGeneration === null ? 'progressing' : 'settled', result, null)
  } catch (error) {
    if (isLeaseLost(error)) return ended('leaseLost', null, error)
    await releaseFailed(context, lease, error)
    ended('failed', null, error)
  }
}

function isLeaseLost(error: unknown): boolean {
  return isHoldfastError(error) && error.code === 'LeaseLost'
}

/** What was seen is kept even when an action failed: a database that is down must not go on being shown as up. */
async function releaseAfter({ context: { store }, settings, patience }: Worker, lease: Lease, result: PassResult): Promise<void> {
  const { settledGeneration, requeueAfterMs, conditions, members, failure } = result
  if (failure !== null) {
    return store.queue.release(lease, { dueInMs: backoffMs(lease.attempts, Math.random()), conditions, members, error: failureOf(failure) })
  }
  const wishMs = Math.max(requeueAfterMs ?? settings.resyncMs, patience.restMs(lease.databaseId, result))
  const dueInMs = Math.min(wishMs, settings.resyncMs)
  await store.queue.release(lease, { dueInMs, conditions, members, ...(settledGeneration !== null && { settledGeneration }) })
}

async function releaseFailed({ store }: LoopContext, lease: Lease, error: unknown): Promise<void> {
  try {
    await store.queue.release(lease, { dueInMs: backoffMs(lease.attempts, Math.random()), error: failureOf(error) })
  } catch (cause) {
    // somebody else has the database by now, and ends it better
    if (isLeaseLost(cause)) return
    throw new HoldfastError('ControlDatabaseUnavailable', 'the end of a failed pass could not be written', { cause })
  }
}

function failureOf(error: unknown): { code: string; message: string; next?: string } {
  const known = isHoldfastError(error) ? error : null
  return { code: known?.code ?? 'Internal', message: describeError(error), ...(known?.next !== undefined && { next: known.next }) }
}
