/**
 * The queue of the loop. What is due is claimed under a lease; whatever happens elsewhere only wakes. A wake is a number
 * that rises: a pass answers the wakes it has seen, and a later one makes the database due again, so none is lost.
 * Times are the control database's own.
 */
import { z } from 'zod'
import type { OperationKind } from '../domain/desired.ts'
import { failureRow } from './backups.ts'
import { leaseLost, type Lease } from './lease.ts'
import { found } from './notFound.ts'
import { releaseLease, type Release } from './release.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { Failure } from './views.ts'

export interface ClaimOptions {
  readonly holder: string
  readonly leaseSeconds: number
  /**
   * The newest version of each machine that this controller understands; databases with an unfinished operation of a
   * newer one, or of a kind that is not listed, are left to others. Left out: it understands everything.
   */
  readonly machineVersions?: Readonly<Partial<Record<OperationKind, number>>>
}

export interface QueueDepth {
  readonly due: number
  readonly leased: number
  readonly total: number
  /** How long the oldest due item has waited; 0 when none is due. */
  readonly oldestDueSeconds: number
  /** Items whose last pass ended in an error. */
  readonly failing: number
}

export interface SettledState {
  readonly wakeSeq: number
  /** Every wake with a number up to this one has been answered by a pass that settled. */
  readonly settledSeq: number
  readonly generation: number
  readonly observedGeneration: number
  readonly lastError: Failure | null
}

export interface QueueStore {
  claim(options: ClaimOptions & { readonly limit: number }): Promise<readonly Lease[]>
  /** Due or not; null while another holds it. */
  claimOne(databaseId: string, options: ClaimOptions): Promise<Lease | null>
  /** The number of this wake, to wait for; null when there is no such database. */
  wake(databaseId: string): Promise<number | null>
  /** Every database with something on this host: its engine came back, or its event stream had a gap. Gives how many. */
  wakeHost(hostId: string): Promise<number>
  wakeAll(): Promise<number>
  renew(lease: Lease, leaseSeconds: number): Promise<Lease>
  /** Does nothing when the database itself is gone. */
  release(lease: Lease, release: Release): Promise<void>
  /** Milliseconds until the next item that nobody holds is due, 0 if one is now; null when there is none. */
  nextDueInMs(): Promise<number | null>
  depth(): Promise<QueueDepth>
  /** Throws `NotFound`. */
  settledState(databaseId: string): Promise<SettledState>
  /** Whether a pass has settled every database since its last wake. Paused and removed ones are nobody's to settle. */
  everythingSettled(): Promise<boolean>
}

const leaseRow: z.ZodType<Lease> = z.object({
  databaseId: z.string(), epoch: z.number(), holder: z.string(), until: time, wakeSeq: z.number(), attempts: z.number(), now: time,
})
const wakeRow = z.object({ wakeSeq: z.number() })
const depthRow: z.ZodType<QueueDepth> = z.object({
  due: z.number(), leased: z.number(), total: z.number(), oldestDueSeconds: z.number(), failing: z.number(),
})
const nextRow = z.object({ ms: z.number() })
const settledRow: z.ZodType<SettledState> = z.object({
  wakeSeq: z.number(), settledSeq: z.number(), generation: z.number(), observedGeneration: z.number(), lastError: failureRow.nullable(),
})
const everythingRow = z.object({ settled: z.boolean() })

const leaseColumns = `
  w.database_id as "databaseId", w.lease_epoch as epoch, w.lease_holder as holder, w.lease_until as until,
  w.wake_seq as "wakeSeq", w.attempts, now() as now`

/**
 * The next try is set in advance, one lease and a doubling pause away: a controller that dies amid a pass leaves a
 * database that comes back by itself, and one that kills every controller comes back ever more rarely.
 */
const claimed = `
  update work_items w
     set lease_holder = $1, lease_epoch = lease_epoch + 1, lease_until = now() + make_interval(secs => $2),
         attempts = attempts + 1,
         due_at = now() + make_interval(secs => $2 + least(power(2, least(attempts, 16)), 300))`

const understood = `
  not exists (select from operations o
               where o.database_id = q.database_id and o.finished_at is null
                 and $3::jsonb is not null and o.machine_version > coalesce(($3::jsonb ->> o.kind)::int, 0))`

export function queueStore(database: ControlDatabase): QueueStore {
  return {
    claim: ({ holder, leaseSeconds, machineVersions, limit }) =>
      database.many(
        leaseRow,
        `with due as (
           select q.database_id from work_items q
            where q.due_at <= now() and (q.lease_until is null or q.lease_until <= now()) and ${understood}
            order by q.due_at limit $4 for no key update skip locked)
         ${claimed} from due where w.database_id = due.database_id returning ${leaseColumns}`,
        [holder, leaseSeconds, machineVersions === undefined ? null : JSON.stringify(machineVersions), limit],
      ),
    async claimOne(databaseId, { holder, leaseSeconds, machineVersions }) {
      const lease = await database.maybe(
        leaseRow,
        `with free as (
           select q.database_id from work_items q
            where q.database_id = $4 and (q.lease_until is null or q.lease_until <= now()) and ${understood}
            for no key update skip locked)
         ${claimed} from free where w.database_id = free.database_id returning ${leaseColumns}`,
        [holder, leaseSeconds, machineVersions === undefined ? null : JSON.stringify(machineVersions), databaseId],
      )
      return lease ?? null
    },
    async wake(databaseId) {
      const woken = await database.maybe(
        wakeRow,
        `update work_items set wake_seq = wake_seq + 1, due_at = now() where database_id = $1 returning wake_seq as "wakeSeq"`,
        [databaseId],
      )
      return woken?.wakeSeq ?? null
    },
    wakeHost: (hostId) =>
      database.run(
        `update work_items set wake_seq = wake_seq + 1, due_at = now()
          where database_id in (
            select i.database_id from members m join instances i on i.id = m.instance_id where m.host_id = $1
            union select e.database_id from endpoint_proxies x join endpoints e on e.id = x.endpoint_id where x.host_id = $1)`,
        [hostId],
      ),
    wakeAll: () => database.run(`update work_items set wake_seq = wake_seq + 1, due_at = now()`),
    async renew(lease, leaseSeconds) {
      const renewed = await database.maybe(
        leaseRow,
        `update work_items w set lease_until = now() + make_interval(secs => $4), due_at = greatest(due_at, now() + make_interval(secs => $4))
          where database_id = $1 and lease_epoch = $2 and lease_holder = $3 returning ${leaseColumns}`,
        [lease.databaseId, lease.epoch, lease.holder, leaseSeconds],
      )
      if (renewed === undefined) throw leaseLost(lease)
      // the pass goes on with what it has seen: a wake since then is not answered by it
      return { ...renewed, wakeSeq: lease.wakeSeq }
    },
    release: (lease, release) => releaseLease(database, lease, release),
    async nextDueInMs() {
      const next = await database.maybe(
        nextRow,
        `select greatest(0, extract(epoch from due_at - now()) * 1000)::float8 as ms
           from work_items where lease_until is null or lease_until <= now() order by due_at limit 1`,
      )
      return next?.ms ?? null
    },
    depth: () =>
      database.one(
        depthRow,
        `select (count(*) filter (where is_due))::int as due, (count(*) filter (where lease_until > now()))::int as leased, count(*)::int as total,
                coalesce(extract(epoch from now() - min(due_at) filter (where is_due)), 0)::float8 as "oldestDueSeconds",
                (count(*) filter (where last_error is not null))::int as failing
           from (select *, due_at <= now() and (lease_until is null or lease_until <= now()) as is_due from work_items) items`,
      ),
    async settledState(databaseId) {
      const state = await database.maybe(
        settledRow,
        `select w.wake_seq as "wakeSeq", w.settled_seq as "settledSeq", d.generation, d.observed_generation as "observedGeneration", w.last_error as "lastError"
           from work_items w join databases d on d.id = w.database_id where d.id = $1`,
        [databaseId],
      )
      return found(state, 'database', databaseId)
    },
    async everythingSettled() {
      const { settled } = await database.one(
        everythingRow,
        `select not exists (select from work_items w join databases d on d.id = w.database_id
                             where not d.paused and d.removed_at is null and w.settled_seq < w.wake_seq) as settled`,
      )
      return settled
    },
  }
}
