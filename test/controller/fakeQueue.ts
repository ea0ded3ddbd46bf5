/** The queue of the control database, in memory: leases, wakes that are never lost, and what each pass was released with. */
import { HoldfastError } from '../../src/domain/errors.ts'
import type { LoopContext } from '../../src/controller/loop.ts'
import type { Lease, Release } from '../../src/store/store.ts'

type Queue = LoopContext['store']['queue']

interface Item {
  dueAt: number
  wakeSeq: number
  epoch: number
  attempts: number
  isLeased: boolean
}

export class FakeQueue implements Queue {
  readonly items = new Map<string, Item>()
  readonly released: { readonly databaseId: string; readonly release: Release }[] = []
  readonly claims: Parameters<Queue['claim']>[0][] = []
  isAway = false
  /** Due for everybody to see, but for nobody to claim. */
  isStuck = false
  wakesWritten = 0
  readonly #clock: () => Date

  /** The clock that passes are told; the queue itself goes by the real one. */
  constructor(clock: () => Date) {
    this.#clock = clock
  }

  add(databaseId: string): void {
    this.items.set(databaseId, { dueAt: Date.now(), wakeSeq: 1, epoch: 0, attempts: 0, isLeased: false })
  }

  /** Another controller takes the database over. */
  steal(databaseId: string): void {
    this.#item(databaseId).epoch += 1
  }

  readonly claim: Queue['claim'] = async (options) => {
    this.claims.push(options)
    this.#mustAnswer()
    const due = this.isStuck ? [] : [...this.items].filter(([, item]) => !item.isLeased && item.dueAt <= Date.now()).slice(0, options.limit)
    return due.map(([databaseId, item]): Lease => {
      Object.assign(item, { isLeased: true, epoch: item.epoch + 1, attempts: item.attempts + 1 })
      const now = this.#clock()
      return { databaseId, epoch: item.epoch, holder: options.holder, until: new Date(now.getTime() + options.leaseSeconds * 1_000), wakeSeq: item.wakeSeq, attempts: item.attempts, now }
    })
  }

  readonly wake: Queue['wake'] = async (databaseId) => {
    this.#mustAnswer()
    const item = this.items.get(databaseId)
    if (item === undefined) return null
    this.wakesWritten += 1
    item.dueAt = Date.now()
    return (item.wakeSeq += 1)
  }

  readonly nextDueInMs: Queue['nextDueInMs'] = async () => {
    this.#mustAnswer()
    if (this.isStuck) return 0
    const times = [...this.items.values()].filter((item) => !item.isLeased).map((item) => Math.max(0, item.dueAt - Date.now()))
    return times.length === 0 ? null : Math.min(...times)
  }

  readonly release: Queue['release'] = async (lease, release) => {
    this.#mustAnswer()
    const item = this.#item(lease.databaseId)
    if (item.epoch !== lease.epoch) throw new HoldfastError('LeaseLost', 'another controller has it')
    this.released.push({ databaseId: lease.databaseId, release })
    Object.assign(item, { isLeased: false, dueAt: item.wakeSeq > lease.wakeSeq ? Date.now() : Date.now() + release.dueInMs, attempts: release.error === undefined ? 0 : item.attempts })
  }

  #item(databaseId: string): Item {
    const item = this.items.get(databaseId)
    if (item === undefined) throw new Error(`database ${databaseId} is not queued`)
    return item
  }

  #mustAnswer(): void {
    if (this.isAway) throw new HoldfastError('ControlDatabaseUnavailable', 'the control database does not answer')
  }
}
