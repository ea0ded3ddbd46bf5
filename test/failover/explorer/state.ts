/**
 * The state that the explorer walks: one old leader L, two replicas A and B, etcd, and up to two guards. One byte a fact, so that a state
 * is compared and remembered as a string. Revisions are small numbers; one write (x) is enough to lose. What cannot lose it is left
 * out: of the replicas only A races (the two are alike, and where B takes the key A never does), and A never gets x (once it has x,
 * nothing is lost by promoting it; that commits which wait for A are never acknowledged follows).
 */

export const L = 0
export const A = 1
export const B = 2
export const nobody = 3
export const replicas = [A, B] as const
export const bit = (node: number): number => 1 << node

/** What a Patroni may have seen of etcd's keys: every state that they were in, after each single event. */
export interface Keys {
  readonly owner: number
  readonly keyRevision: number
  readonly syncLeader: number
  readonly syncSet: number
  readonly syncRevision: number
}

/** Of the history that somebody has not seen yet. */
const mostEvents = 8
const eventBytes = 3

const fields = [
  // `mostRevisions` bounds the run: how often etcd is written
  'events', 'revision', 'mostRevisions',
  'viewL', 'viewA',
  // of L: 1 when PostgreSQL has stopped; 0 Patroni runs, 1 frozen, 2 the container is dead
  'stoppedL', 'downL',
  // L's cycle: see patroni.ts
  'pcL', 'pickedL', 'syncL', 'casRevisionL',
  // `synchronous_standby_names`: the names, or 1 for '*'
  'ssn', 'ssnAny',
  // one write of /sync on its way to etcd, and whether L still waits for its answer
  'sent', 'sentRevision', 'sentSet', 'sentWaits',
  'written', 'acked', 'flushedB',
  // L is blocked at both replicas
  'blocked',
  'pcA',
  // A was promoted, without x
  'promoted',
  // each guard: its place in the procedure, and the keys that it read
  'g1pc', 'g1key', 'g1sync', 'g1set', 'g2pc', 'g2key', 'g2sync', 'g2set',
] as const
export type Field = (typeof fields)[number]

const offset = Object.fromEntries(fields.map((name, index) => [name, index])) as Readonly<Record<Field, number>>
const size = fields.length + mostEvents * eventBytes

export type Changes = { readonly [name in Field]?: number }

export class State {
  readonly #bytes: Buffer

  constructor(bytes: Buffer = Buffer.alloc(size)) {
    this.#bytes = bytes
  }

  get(field: Field): number {
    return this.#bytes[offset[field]] ?? 0
  }

  /** A copy with these facts changed. */
  with(changes: Changes): State {
    const next = new State(Buffer.from(this.#bytes))
    next.#set(changes)
    return next
  }

  get key(): string {
    return this.#bytes.toString('latin1')
  }

  /** Of histories that differ only in what nobody will look at again, the same one. */
  forgetting(events: number): State {
    if (events === 0) return this
    const next = new State(Buffer.from(this.#bytes))
    next.#bytes.copyWithin(fields.length, fields.length + events * eventBytes)
    next.#bytes.fill(0, size - events * eventBytes)
    next.#set({
      events: this.get('events') - events, viewL: this.get('viewL') - events, viewA: this.get('viewA') - events,
    })
    return next
  }

  /** After the event of this number; the newest by default. */
  keys(event: number = this.get('events') - 1): Keys {
    const at = fields.length + event * eventBytes
    const packed = this.#bytes[at] ?? 0
    return {
      owner: packed & 3, syncLeader: (packed >> 2) & 3, syncSet: packed >> 4,
      keyRevision: this.#bytes[at + 1] ?? 0, syncRevision: this.#bytes[at + 2] ?? 0,
    }
  }

  /** Several events of one transaction share a revision. Null when that would be more than this run may have. */
  told(events: readonly Keys[]): State | null {
    const count = this.get('events')
    const revision = this.get('revision') + 1
    if (revision > this.get('mostRevisions')) return null
    if (count + events.length > mostEvents) throw new RangeError('a history is longer than a state has room for')
    const next = new State(Buffer.from(this.#bytes))
    events.forEach((keys, index) => next.#write(count + index, keys))
    next.#set({ events: count + events.length, revision })
    return next
  }

  #set(changes: Changes): void {
    for (const field in changes) this.#bytes[offset[field as Field]] = changes[field as Field] ?? 0
  }

  #write(event: number, keys: Keys): void {
    const at = fields.length + event * eventBytes
    this.#bytes[at] = keys.owner | (keys.syncLeader << 2) | (keys.syncSet << 4)
    this.#bytes[at + 1] = keys.keyRevision
    this.#bytes[at + 2] = keys.syncRevision
  }
}

/** L leads, commits wait for both replicas, everybody has everything. */
export function beginning(mostRevisions: number): State {
  const set = bit(A) | bit(B)
  const told = new State().with({ mostRevisions }).told([{ owner: L, keyRevision: 1, syncLeader: L, syncSet: set, syncRevision: 1 }])
  if (told === null) throw new Error('a history has room for its beginning')
  return told.with({ ssn: set })
}
