/** Things of one kind by id, and by their owner. Knows of each who told of it last, and remembers for a while what ended. Pure. */
import { isDeepStrictEqual } from 'node:util'

interface Entry<T> {
  readonly owner: string
  readonly value: T
  /** When an event last told of it; minus infinity when only lists did. */
  readonly toldAt: number
}

export class Shelf<T> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #byOwner = new Map<string, Set<string>>()
  readonly #endedAt = new Map<string, number>()

  get(id: string): T | undefined {
    return this.#entries.get(id)?.value
  }

  of(ownerId: string): T[] {
    return [...(this.#byOwner.get(ownerId) ?? [])].flatMap((id) => this.#entries.get(id)?.value ?? [])
  }

  owners(): Iterable<string> {
    return this.#byOwner.keys()
  }

  /** A telling from before the thing's end comes too late: it was asked for, and the thing ended meanwhile. */
  put(id: string, ownerId: string, value: T, toldAt: number, touched: Set<string>): void {
    if ((this.#endedAt.get(id) ?? -Infinity) > toldAt) return
    this.#endedAt.delete(id)
    const before = this.#entries.get(id)
    this.#entries.set(id, { owner: ownerId, value, toldAt })
    const ids = this.#byOwner.get(ownerId) ?? new Set()
    this.#byOwner.set(ownerId, ids.add(id))
    // told again as it was, it wakes nobody: who fails and tries again would be woken by the very events of the attempt
    if (before === undefined || !isDeepStrictEqual(before.value, value)) touched.add(ownerId)
  }

  remove(id: string, at: number, touched: Set<string>): void {
    this.#endedAt.set(id, at)
    this.#take(id, touched)
  }

  replace(
    listed: readonly (readonly [id: string, owner: string, value: T])[],
    trustEventsSince: number,
    touched: Set<string>,
    merge: (known: T, listed: T) => T = (_known, seen) => seen,
  ): void {
    const ids = new Set(listed.map(([id]) => id))
    for (const [id, entry] of this.#entries) {
      if (!ids.has(id) && entry.toldAt < trustEventsSince) this.#take(id, touched)
    }
    for (const [id, at] of this.#endedAt) {
      if (at < trustEventsSince) this.#endedAt.delete(id)
    }
    for (const [id, ownerId, seen] of listed) {
      const known = this.#entries.get(id)
      if (known !== undefined && known.toldAt >= trustEventsSince) continue
      const value = known === undefined ? seen : merge(known.value, seen)
      if (known === undefined || !isDeepStrictEqual(known.value, value)) this.put(id, ownerId, value, known?.toldAt ?? -Infinity, touched)
    }
  }

  #take(id: string, touched: Set<string>): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    const ids = this.#byOwner.get(entry.owner)
    ids?.delete(id)
    if (ids?.size === 0) this.#byOwner.delete(entry.owner)
    touched.add(entry.owner)
  }
}
