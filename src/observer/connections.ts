/**
 * Connections to members' PostgreSQL, kept between looks. Each costs a backend over there, so they are few, closed when
 * idle, and made anew after a while, so that renewed certificates come into use.
 */
import { connectPostgres, type PostgresAddress, type PostgresConnection } from '../clients/postgres.ts'
import type { Clock } from '../domain/ports.ts'

export interface ConnectionLimits {
  readonly most: number
  readonly idleMs: number
  readonly ageMs: number
}

export const defaultConnectionLimits: ConnectionLimits = { most: 256, idleMs: 60_000, ageMs: 10 * 60_000 }

interface Kept {
  readonly connection: PostgresConnection
  readonly subject: string
  readonly openedAt: number
  usedAt: number
}

export class Connections {
  readonly #clock: Clock
  readonly #limits: ConnectionLimits
  readonly #kept = new Map<string, Kept>()

  constructor(clock: Clock, limits: ConnectionLimits = defaultConnectionLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /**
   * Does `work` on the kept connection of this key, or on a new one. A kept one that turns out to be broken says nothing
   * about the server of now: the work is done once more on a new one. Work has to be repeatable.
   */
  async use<T>(key: string, subject: string, address: PostgresAddress, work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    const kept = this.#take(key, subject)
    if (kept !== null) {
      try {
        return await this.#do(key, kept, work)
      } catch (error) {
        if (kept.connection.usable) throw error
      }
    }
    const now = this.#now()
    return this.#do(key, { connection: await connectPostgres(address), subject, openedAt: now, usedAt: now }, work)
  }

  close(key: string): void {
    this.#kept.get(key)?.connection.close()
    this.#kept.delete(key)
  }

  closeAll(): void {
    for (const key of [...this.#kept.keys()]) this.close(key)
  }

  /** Closes what is idle, old or broken. */
  sweep(): void {
    for (const [key, kept] of this.#kept) {
      if (!kept.connection.usable || this.#now() - kept.usedAt > this.#limits.idleMs) this.close(key)
    }
  }

  get size(): number {
    return this.#kept.size
  }

  /** Takes it out while it is used: one connection answers one question at a time. */
  #take(key: string, subject: string): Kept | null {
    const kept = this.#kept.get(key)
    if (kept === undefined) return null
    const isGood = kept.connection.usable && kept.subject === subject && this.#now() - kept.openedAt < this.#limits.ageMs
    if (!isGood) {
      this.close(key)
      return null
    }
    this.#kept.delete(key)
    return kept
  }

  async #do<T>(key: string, kept: Kept, work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    try {
      return await work(kept.connection)
    } finally {
      if (kept.connection.usable) this.#keep(key, kept)
    }
  }

  #keep(key: string, kept: Kept): void {
    this.close(key)
    kept.usedAt = this.#now()
    // a map keeps the order of insertion, so its first key is the one unused for longest
    const [oldest] = this.#kept.keys()
    if (this.#kept.size >= this.#limits.most && oldest !== undefined) this.close(oldest)
    this.#kept.set(key, kept)
  }

  #now(): number {
    return this.#clock.now().getTime()
  }
}
