/** What both directions of a cutover share: whom it is about, connections that were opened beforehand, and what a server says of itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { PostgresConnection } from '../../clients/postgres.ts'
import { scopePrefix } from '../../domain/cluster.ts'
import type { Desired, Member } from '../../domain/desired.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { lsnSchema, type Lsn } from '../../domain/lsn.ts'
import { patroniOf } from '../members.ts'
import { ClientRoutes } from './clients.ts'
import type { CutOver } from './cutover.ts'
import { readDecision, writeDecision, type Decision } from './decision.ts'
import { connectMember, memberNamed, placesOf, type CutoverTools, type Places } from './places.ts'
import { readMeanwhile } from './readOnly.ts'
import { releaseReserve } from './server.ts'

export const pollMs = 5
/** Of those who are asked only because they, too, might be it. */
const glanceMs = 50
export const againMs = 200
/** A promotion takes half a second. */
const reserveAfterMs = 1_500
/** From when the WAL file is filled to the stop: clients are held in between. */
export const toStopMs = 400
/** For as long as it takes to tell where to go. */
const holdReadersMs = 3_000
const mostLagBytes = 16n * 1024n * 1024n

export interface Standing {
  readonly recovers: boolean
  readonly systemIdentifier: string
  readonly lsn: Lsn | null
  /** Of who takes writes: what it writes on. Of who follows: what it receives now; null when nothing is streamed to it. */
  readonly timeline: number | null
}

export class Session {
  readonly tools: CutoverTools
  readonly order: CutOver
  readonly desired: Desired
  readonly places: Places
  readonly routes: ClientRoutes
  /** Of the pass, and of this move: whatever was begun with it ends with the move. */
  readonly signal: AbortSignal
  readonly #ended = new AbortController()
  readonly #open = new Map<string, PostgresConnection>()
  /** The follower that clients were led to in order to read. */
  #readAt: string | null = null
  #begun = performance.now()
  #steps: Record<string, number> = {}

  constructor(tools: CutoverTools, order: CutOver, desired: Desired, signal: AbortSignal) {
    this.tools = tools
    this.order = order
    this.desired = desired
    this.places = placesOf(tools, order, desired)
    this.routes = new ClientRoutes(this.places)
    this.signal = AbortSignal.any([signal, this.#ended.signal])
  }

  /** `what` is over: counted from when clients were held. Of one that goes on with what another began, from its own beginning. */
  mark(what: string): void {
    this.#steps[what] = Math.round(performance.now() - this.#begun)
  }

  hold(): void {
    this.#begun = performance.now()
    this.#steps = {}
  }

  /** Milliseconds, in their order. */
  get steps(): Readonly<Record<string, number>> {
    return this.#steps
  }

  end(): void {
    this.#ended.abort()
    this.routes.end()
    for (const connection of this.#open.values()) connection.close()
  }

  /** Never longer than the pass: whoever has the database then goes on from what it finds. */
  within(ms: number): AbortSignal {
    return AbortSignal.any([this.signal, AbortSignal.timeout(ms)])
  }

  /** Open until the end of the move. */
  async connect(member: Member): Promise<PostgresConnection> {
    const connection = await connectMember(this.tools, this.desired, member, this.signal)
    this.#open.set(member.id, connection)
    return connection
  }

  /** Who holds the leader key: of a cluster that follows, who follows for all. */
  async leader(): Promise<Member> {
    const { entry } = await this.tools.etcd.get(`${scopePrefix(this.tools.installation, this.places.scope)}leader`, this.signal)
    const member = entry === null ? undefined : memberNamed(this.places, entry.value)
    if (member === undefined) throw new HoldfastError('Conflict', 'no member of the cluster leads it')
    return member
  }

  /** In a window that lets reads go on: at the follower, from now until it is promoted or clients are led back. */
  async readMeanwhile(source: PostgresConnection, follower: PostgresConnection, member: Member, lead: () => Promise<void>, limit: AbortSignal): Promise<void> {
    if (this.order.window !== 'readOnly') return
    await readMeanwhile(source, follower, lead, limit)
    this.#readAt = member.id
    this.mark('reading')
  }

  /** The pools change servers between two transactions, unless they are where they are to be. `server`: whom newcomers were led to. */
  async holdReaders(to: Member, server: string, limit: AbortSignal): Promise<void> {
    if (this.order.window !== 'readOnly' || this.#readAt === to.id) return
    // a proxy that does not hear is told again by what comes next; its clients meet the end of their sessions then
    await this.routes.hold(server, holdReadersMs, limit).catch(() => undefined)
  }

  patroni(member: Member): ReturnType<typeof patroniOf> {
    return patroniOf(this.tools.postgres, this.desired, this.places.scope, member)
  }

  /**
   * Errors: `Conflict` unless `follower` holds the same data as `source`, follows, and is not far behind. On the same timeline: one that
   * received more of an older one than the source has does not lack anything by its position, and still does not hold what the source
   * acknowledged.
   */
  async checkFollows(source: PostgresConnection, follower: PostgresConnection): Promise<void> {
    const [from, to] = await Promise.all([standingOf(source, this.signal), standingOf(follower, this.signal)])
    if (from.recovers || !to.recovers || from.systemIdentifier !== to.systemIdentifier) throw new HoldfastError('Conflict', 'the one does not follow the other any more')
    if (to.timeline === null || from.timeline !== to.timeline) throw new HoldfastError('Conflict', 'who is to take over does not receive what is written now')
    if (to.lsn === null || from.lsn === null || from.lsn - to.lsn > mostLagBytes) throw new HoldfastError('Conflict', 'who is to take over lags behind')
  }

  /** Those of whom one is being `promoted`: whoever lacks the room for it gets that of the reserve, if it takes long. */
  async withRoom<T>(members: readonly Member[], limit: AbortSignal, promoted: Promise<T>): Promise<T> {
    const over = new AbortController()
    const signal = AbortSignal.any([limit, over.signal])
    const relieve = async (): Promise<void> => {
      await sleep(reserveAfterMs, undefined, { signal })
      await Promise.all(members.map((member) => releaseReserve(this.places.container(member), signal).catch(() => undefined)))
    }
    relieve().catch(() => undefined)
    return promoted.finally(() => over.abort())
  }

  readDecision(signal = this.signal): Promise<Decision> {
    return readDecision(this.tools.etcd, this.tools.installation, this.places.scope, signal)
  }

  /** Errors: `Conflict` when somebody else changed it since it was read. */
  async decide(decision: Decision, patch: Readonly<Record<string, unknown>>, signal = this.signal): Promise<Decision> {
    const next = await writeDecision(this.tools.etcd, this.tools.installation, this.places.scope, decision, patch, signal)
    if (next === null) throw new HoldfastError('Conflict', 'the configuration of the cluster was changed meanwhile')
    return next
  }

  /** Asks the member again and again, over the open connection or new ones where need be, until `look` finds something. */
  async until<T>(member: Member, limit: AbortSignal, look: (standing: Standing, connection: PostgresConnection) => Promise<T | null>, everyMs = pollMs): Promise<T> {
    for (;;) {
      const open = this.#open.get(member.id)
      const connection = open?.usable === true ? open : await connectMember(this.tools, this.desired, member, limit).catch(() => null)
      try {
        while (connection?.usable === true) {
          const found = await look(await standingOf(connection, limit), connection)
          if (found !== null) return found
          await sleep(everyMs, undefined, { signal: limit })
        }
      } catch (error) {
        // it is just being started or stopped
        if (limit.aborted) throw error
      } finally {
        if (connection !== open) connection?.close()
      }
      await sleep(againMs, undefined, { signal: limit })
    }
  }

  /** Whoever leads the cluster first: it need not be the one that was `expected`. */
  async leading(limit: AbortSignal, expected?: Member): Promise<{ readonly member: Member; readonly systemIdentifier: string }> {
    const others = new AbortController()
    const each = AbortSignal.any([limit, others.signal])
    const looks = this.places.cluster.members.map((member) =>
      this.until(member, each, ({ recovers, systemIdentifier }) => Promise.resolve(recovers ? null : { member, systemIdentifier }), member.id === expected?.id ? pollMs : glanceMs))
    return Promise.any(looks).finally(() => others.abort())
  }
}

const standingQuery = {
  name: 'standing',
  row: z.object({ recovers: z.boolean(), systemIdentifier: z.string(), lsn: lsnSchema.nullable(), timeline: z.number().nullable() }),
  text: `select pg_catalog.pg_is_in_recovery() as recovers, (select system_identifier::text from pg_catalog.pg_control_system()) as "systemIdentifier",
                case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() else pg_catalog.pg_current_wal_flush_lsn() end::text as lsn,
                case when pg_catalog.pg_is_in_recovery() then (select received_tli from pg_catalog.pg_stat_wal_receiver where status = 'streaming')
                     else ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::integer end as timeline`,
}
const receivedQuery = { name: 'received', row: z.object({ lsn: lsnSchema.nullable() }), text: 'select pg_catalog.pg_last_wal_receive_lsn()::text as lsn' }

export async function standingOf(connection: PostgresConnection, signal: AbortSignal): Promise<Standing> {
  const [row] = await connection.query(standingQuery, [], signal)
  if (row === undefined) throw new Error('a server said nothing of itself')
  return row
}

/**
 * `end` is where the last record begins, the shutdown checkpoint: all that was acknowledged is before it. `last`: it has that record, too;
 * whoever is promoted without it parts from the server that wrote it.
 */
export async function hasReceived(follower: PostgresConnection, end: Lsn, last: boolean, limit: AbortSignal): Promise<void> {
  for (;;) {
    const [row] = await follower.query(receivedQuery, [], limit)
    if (row?.lsn != null && (last ? row.lsn > end : row.lsn >= end)) return
    await sleep(pollMs, undefined, { signal: limit })
  }
}
