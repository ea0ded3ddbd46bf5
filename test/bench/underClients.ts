/** Whom a move of a database is done to: those who write, directly and through the pool, those who read, and observers at each server. */
import { setTimeout as sleep } from 'node:timers/promises'
import { asCustomer, type ClusterCustomer } from '../harness/ha/customer.ts'
import type { ServerPlace } from '../harness/ha/members.ts'
import { startObservers } from '../harness/ha/observers.ts'
import type { Site } from '../harness/ha/site.ts'
import { doubleWriters } from '../harness/ha/twoWriters.ts'
import { lostOf, openLedger, startReading, startWriting, type Lane, type Ledger } from './lane.ts'
import type { Seen } from './report.ts'

export interface Clients {
  readonly customer: ClusterCustomer
  readonly ledgers: { readonly direct: Ledger; readonly pooled: Ledger }
}

/** `read` reads where it could write. */
export type LaneName = 'write' | 'read' | 'pooled' | 'readOnlyPort'
type Each<T> = Readonly<Record<LaneName, T>>

export interface Measured {
  /** What the move said of itself. */
  readonly told: string
  /** ms. */
  readonly gaps: Each<number>
  /** What observers wrote themselves counts with `write`. */
  readonly seen: Each<Seen>
}

/** The clients' pace before the move: connections warm, statements prepared. */
const warmUpMs = 1_500
/** What a move brings about after it has succeeded begins within this time. */
const observedMs = 2_000
const readLimitMs = 120_000

export async function openClients(customer: ClusterCustomer): Promise<Clients> {
  const direct = await asCustomer(customer.readWrite, (owner) => openLedger(owner, 'written'))
  return { customer, ledgers: { direct, pooled: await asCustomer(customer.readWrite, (owner) => openLedger(owner, 'written_pooled')) } }
}

/** `watched`: the servers where observers write, of whom no two may acknowledge at once. */
export async function underClients(site: Site, clients: Clients, watched: readonly ServerPlace[], move: () => Promise<string>): Promise<Measured> {
  const { customer, ledgers: { direct, pooled } } = clients
  const before = { direct: direct.acknowledged.length, pooled: pooled.acknowledged.length }
  const observers = await asCustomer(customer.readWrite, (owner) => startObservers(site, watched, owner))
  const lanes = startLanes(clients)
  const stop = async (): Promise<void> => void (await Promise.all([observers.stop(), ...Object.values(lanes).map((lane) => lane.stop())]))
  try {
    await answeredAfter(lanes, 0)
    await sleep(warmUpMs)
    const begun = performance.now()
    const told = await move()
    await sleep(observedMs)
    await answeredAfter(lanes, performance.now())
    const gaps = each((name) => lanes[name].gapSince(begun))
    await stop()
    const lost = await asCustomer(customer.readWrite, async (reader) => ({
      write: await lostOf(direct, reader) + await observers.lost(reader), pooled: await lostOf(pooled, reader), read: 0, readOnlyPort: 0,
    }), readLimitMs)
    const acked = { write: direct.acknowledged.length - before.direct + observers.commits.length, pooled: pooled.acknowledged.length - before.pooled, read: 0, readOnlyPort: 0 }
    const twoAtOnce = doubleWriters(observers.commits).length
    return { told, gaps, seen: each((name) => ({ acked: acked[name], lost: lost[name], doubleWriters: twoAtOnce, errors: lanes[name].errors })) }
  } finally {
    await stop()
  }
}

function startLanes({ customer: { readWrite, readOnly, pooled }, ledgers }: Clients): Each<Lane> {
  return {
    write: startWriting(readWrite, ledgers.direct), read: startReading(readWrite, ledgers.direct),
    pooled: startWriting(pooled, ledgers.pooled), readOnlyPort: startReading(readOnly, ledgers.direct),
  }
}

function each<T>(of: (name: LaneName) => T): Each<T> {
  return { write: of('write'), read: of('read'), pooled: of('pooled'), readOnlyPort: of('readOnlyPort') }
}

async function answeredAfter(lanes: Each<Lane>, moment: number): Promise<void> {
  await Promise.all(Object.values(lanes).map((lane) => lane.answeredAfter(moment)))
}
