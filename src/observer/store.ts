/** The object store: whether it answers, and the newest WAL in each archive. Archives are looked at behind a pass, never in its way. */
import type { Instance } from '../domain/desired.ts'
import type { ArchiveSeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import { unknown, type Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import { newestWal, seenOf, type NewestWal, type ObjectListing } from './archives.ts'
import { Gate } from './gate.ts'

export interface StoreSource {
  readonly bucket: string
  readonly listing: ObjectListing
  /** Any cheap call that only a working store answers. */
  readonly check: (signal: AbortSignal) => Promise<unknown>
}

const archiveFreshMs = 60_000
const archiveTimeoutMs = 10_000
const healthFreshMs = 15_000
/** A store that is away is not asked more often than this, nor waited for longer. */
const retryMs = 5_000
const waitMs = 1_000
const healthTimeoutMs = 5_000
const parallelListings = 4

export class Store {
  readonly #source: StoreSource
  readonly #archives: Answers<ArchiveSeen>
  readonly #health: Answers<true>
  readonly #listings = new Gate(parallelListings)
  /** Where the next look goes on, by instance id. */
  readonly #newest = new Map<string, NewestWal>()

  constructor(source: StoreSource, clock: Clock) {
    this.#source = source
    this.#archives = new Answers(clock)
    this.#health = new Answers(clock)
  }

  /** What the last look found; `onChange` when the next one, begun here if it is due, finds something else. */
  archive({ id, repository }: Instance, onChange: () => void): Sighting<ArchiveSeen> {
    const { bucket, listing } = this.#source
    const ask = async (): Promise<ArchiveSeen> => {
      const newest = await newestWal(listing, bucket, repository.path, this.#newest.get(id) ?? null, AbortSignal.timeout(archiveTimeoutMs))
      if (newest !== null) this.#newest.set(id, newest)
      return seenOf(newest)
    }
    const question = { key: id, subject: repository.path, freshMs: archiveFreshMs, retryMs, ask: () => this.#listings.pass(ask) }
    return this.#archives.latest(question, onChange) ?? unknown('the archive is being looked at for the first time')
  }

  async health(): Promise<Sighting<true>> {
    const ask = async (): Promise<true> => {
      await this.#source.check(AbortSignal.timeout(healthTimeoutMs))
      return true
    }
    const answer = this.#health.current({ key: 'store', subject: 'store', freshMs: healthFreshMs, retryMs, ask })
    return within(answer, waitMs, unknown(`it did not answer within ${waitMs} ms`))
  }

  sweep(unusedSince: number): void {
    this.#archives.dropUnusedSince(unusedSince)
    for (const [instanceId] of this.#newest) {
      if (this.#archives.peek(instanceId) === null) this.#newest.delete(instanceId)
    }
  }
}

async function within<T>(work: Promise<T>, limitMs: number, otherwise: T): Promise<T> {
  const late = Promise.withResolvers<T>()
  const timer = setTimeout(() => late.resolve(otherwise), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
