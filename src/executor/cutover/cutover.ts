/**
 * Moves the clients of a standalone to the cluster that follows it. What must hold:
 *   1. the fence is on the standalone's disk before anything is stopped: whatever starts it later, it only follows;
 *   2. the cluster is told to lead only when the standalone's control file says that it was shut down, and every member has received all
 *      of its WAL, the shutdown checkpoint included: nothing acknowledged can be missing, whoever of them leads;
 *   3. of going on and going back only one happens (decision.ts), and the fence is lifted only after going back has won;
 *   4. whoever dies in between leaves clients held for seconds at most, and what is left to do is found by looking (`settle`).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { PostgresConnection } from '../../clients/postgres.ts'
import { scopePrefix } from '../../domain/cluster.ts'
import type { Action } from '../../domain/action.ts'
import type { Desired, Member } from '../../domain/desired.ts'
import { describeError, HoldfastError } from '../../domain/errors.ts'
import { lsnSchema, type Lsn } from '../../domain/lsn.ts'
import { patroniName } from '../../domain/names.ts'
import type { ActionResult } from '../../domain/ports.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import { patroniOf } from '../members.ts'
import { hold, leadReadsAway, leadTo, letGo } from './clients.ts'
import { readDecision, writeDecision, type Decision } from './decision.ts'
import { connectMember, followerConninfo, memberNamed, placesOf, type CutoverTools, type Places } from './places.ts'
import { setFence, startServer, stopServer } from './server.ts'

export type CutOver = Extract<Action, { readonly kind: 'cutOver' }>

const pollMs = 3
const againMs = 200
/** From the decision on: a promotion takes half a second, on a busy machine some. */
const leadMs = 30_000
const backMs = 40_000
/** Patroni makes it in its next cycle. */
const slotMs = 10_000
const mostLagBytes = 16n * 1024n * 1024n
/** For the promotion, once the budget is spent well; after that the proxies let everybody go by themselves. */
const promotionMs = 5_000

type Outcome =
  | { readonly kind: 'moved'; readonly systemIdentifier: string; readonly pauseMs: number | null }
  | { readonly kind: 'wentBack'; readonly reason: string; readonly pauseMs: number | null }

export async function cutOver(tools: CutoverTools, order: CutOver, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const cutover = new Cutover(tools, order, desired, signal)
  const outcome = order.settleOnly ? await cutover.settle(null, 'the controller that moved the clients ended in the middle of it') : await cutover.run()
  return { records: [{ kind: 'operationNoted', operationId: order.operationId, notes: { outcome } }] }
}

class Cutover {
  readonly #tools: CutoverTools
  readonly #order: CutOver
  readonly #desired: Desired
  readonly #places: Places
  readonly #signal: AbortSignal
  readonly #open: PostgresConnection[] = []

  constructor(tools: CutoverTools, order: CutOver, desired: Desired, signal: AbortSignal) {
    this.#tools = tools
    this.#order = order
    this.#desired = desired
    this.#places = placesOf(tools, order, desired)
    this.#signal = signal
  }

  async run(): Promise<Outcome> {
    let heldAt: number | null = null
    try {
      const prepared = await this.#prepare()
      heldAt = performance.now()
      await this.#window(prepared, heldAt)
      return await this.#goOn(heldAt)
    } catch (error) {
      return await this.settle(heldAt, describeError(error))
    } finally {
      for (const connection of this.#open) connection.close()
    }
  }

  /** Brings whatever was begun to an end. Errors when it cannot be known what was: then nothing is done, and it is asked again. */
  async settle(heldAt: number | null, reason: string): Promise<Outcome> {
    for (;;) {
      const decision = await this.#decision()
      if (!decision.follows) return this.#goOn(heldAt)
      const limit = this.#within(backMs)
      const back = await writeDecision(this.#tools.etcd, this.#tools.installation, this.#places.scope, decision, 'back', limit)
      if (back !== null) return await this.#goBack(back, heldAt, reason, limit)
    }
  }

  /** Never longer than the pass: whoever has the database then goes on from what it finds. */
  #within(ms: number): AbortSignal {
    return AbortSignal.any([this.#signal, AbortSignal.timeout(ms)])
  }

  #decision(): Promise<Decision> {
    return readDecision(this.#tools.etcd, this.#tools.installation, this.#places.scope, this.#signal)
  }

  /** Nothing of it is noticed by anybody. */
  async #prepare(): Promise<Prepared> {
    const source = await this.#connect(this.#places.source)
    const leader = await this.#standbyLeader()
    const target = await this.#connect(leader)
    const others = this.#places.target.members.filter(({ id }) => id !== leader.id)
    const members = [target, ...await Promise.all(others.map((member) => this.#connect(member)))]
    for (const member of members) await this.#check(source, member)
    const decision = await this.#decisionWithSlot(target)
    await setFence(this.#places, followerConninfo(this.#desired, this.#places), decision.modRevision, this.#signal)
    for (const connection of [source, target, source]) await connection.execute('checkpoint', [], this.#signal)
    // last: it ends by itself after some seconds
    await leadReadsAway(this.#places, this.#signal)
    return { members, leader, decision }
  }

  async #connect(member: Member): Promise<PostgresConnection> {
    const connection = await connectMember(this.#tools, this.#desired, member, this.#signal)
    this.#open.push(connection)
    return connection
  }

  async #standbyLeader(): Promise<Member> {
    const { entry } = await this.#tools.etcd.get(`${scopePrefix(this.#tools.installation, this.#places.scope)}leader`, this.#signal)
    const member = entry === null ? undefined : memberNamed(this.#places, entry.value)
    if (member === undefined) throw new HoldfastError('Conflict', 'no member of the cluster follows the server for all of them')
    return member
  }

  async #check(source: PostgresConnection, target: PostgresConnection): Promise<void> {
    const [[from], [to]] = await Promise.all([source.query(standing, [], this.#signal), target.query(standing, [], this.#signal)])
    if (from === undefined || to === undefined) throw new Error('a server said nothing of itself')
    if (from.recovers || !to.recovers || from.systemIdentifier !== to.systemIdentifier) throw new HoldfastError('Conflict', 'the cluster does not follow the server any more')
    if (to.lsn === null || from.lsn === null || from.lsn - to.lsn > mostLagBytes) throw new HoldfastError('Conflict', 'the cluster lags behind the server')
  }

  /** The former server will need what is written from now on; seen on the standby leader before it is relied on. */
  async #decisionWithSlot(target: PostgresConnection): Promise<Decision> {
    const decision = await this.#decision()
    if (!decision.follows) throw new HoldfastError('Conflict', 'the cluster was told to lead already')
    const slots = { slots: { [followerSlotName]: { type: 'physical' } } }
    const next = await writeDecision(this.#tools.etcd, this.#tools.installation, this.#places.scope, decision, { with: slots }, this.#signal)
    if (next === null) throw new HoldfastError('Conflict', 'the configuration of the cluster was changed meanwhile')
    const limit = this.#within(slotMs)
    for (;;) {
      if ((await target.query(slotQuery, [followerSlotName], limit)).length > 0) return next
      await sleep(againMs, undefined, { signal: limit })
    }
  }

  /** Clients wait from here on. Ends when the cluster was told to lead. */
  async #window({ members, leader, decision }: Prepared, heldAt: number): Promise<void> {
    const budget = this.#within(this.#order.budgetMs)
    const { etcd, installation } = this.#tools
    await hold(this.#places, this.#order.budgetMs + promotionMs, budget)
    const end = await stopServer(this.#places, budget)
    // every one of them: whoever leads then, should the first one die at that moment, lacks nothing
    await Promise.all(members.map((member) => hasReceived(member, end, budget)))
    if (performance.now() - heldAt > this.#order.budgetMs) throw new HoldfastError('Conflict', `clients would have waited for longer than ${this.#order.budgetMs} ms`)
    if (await writeDecision(etcd, installation, this.#places.scope, decision, 'on', this.#signal) === null) throw new HoldfastError('Conflict', 'the configuration of the cluster was changed meanwhile')
    // it looks by itself within a second
    await patroniOf(this.#tools.postgres, this.#desired, this.#places.scope, leader).wake(this.#signal).catch(() => undefined)
  }

  /** Only forward: somebody may take writes already. */
  async #goOn(heldAt: number | null): Promise<Outcome> {
    const limit = this.#within(leadMs)
    const others = new AbortController()
    const { member, systemIdentifier } = await this.#writable(AbortSignal.any([limit, others.signal])).finally(() => others.abort())
    await leadTo(this.#places, patroniName(member.id), limit)
    return { kind: 'moved', systemIdentifier, pauseMs: since(heldAt) }
  }

  /** Whoever leads first: it need not be the one that was expected. */
  async #writable(limit: AbortSignal): Promise<{ readonly member: Member; readonly systemIdentifier: string }> {
    const found = await Promise.any(this.#places.target.members.map(async (member) => {
      for (;;) {
        const connection = await connectMember(this.#tools, this.#desired, member, limit).catch(() => null)
        try {
          while (connection?.usable === true) {
            const [seen] = await connection.query(standing, [], limit)
            if (seen?.recovers === false) return { member, systemIdentifier: seen.systemIdentifier }
            await sleep(pollMs, undefined, { signal: limit })
          }
        } catch (error) {
          if (limit.aborted) throw error
        } finally {
          connection?.close()
        }
        await sleep(againMs, undefined, { signal: limit })
      }
    }))
    return found
  }

  /** Nobody was promoted, and nobody will be: it was decided so. */
  async #goBack(back: Decision, heldAt: number | null, reason: string, limit: AbortSignal): Promise<Outcome> {
    const { engine, container, source } = this.#places
    // one that is stopped comes up as a follower, in which its fence can be lifted
    if ((await engine.inspectContainer(container, limit)).state !== 'running') await engine.startContainer(container, limit)
    await setFence(this.#places, null, back.modRevision, limit)
    await startServer(this.#places, limit)
    await this.#serves(source, limit)
    await letGo(this.#places, limit)
    return { kind: 'wentBack', reason, pauseMs: since(heldAt) }
  }

  /** One that was started meanwhile, by whomever, came up as a follower of nobody: it holds all that it ever acknowledged, and is promoted. */
  async #serves(source: Member, limit: AbortSignal): Promise<void> {
    for (;;) {
      const connection = await connectMember(this.#tools, this.#desired, source, limit).catch(() => null)
      try {
        const [seen] = await (connection?.query(standing, [], limit) ?? [])
        if (seen?.recovers === false) return
        if (seen?.recovers === true) await connection?.execute('select pg_catalog.pg_promote(false)', [], limit)
      } catch (error) {
        // it is just being started
        if (limit.aborted) throw error
      } finally {
        connection?.close()
      }
      await sleep(againMs, undefined, { signal: limit })
    }
  }
}

interface Prepared {
  /** Of the cluster, all of them. */
  readonly members: readonly PostgresConnection[]
  readonly leader: Member
  readonly decision: Decision
}

const standing = {
  name: 'standing',
  row: z.object({ recovers: z.boolean(), systemIdentifier: z.string(), lsn: lsnSchema.nullable() }),
  text: `select pg_catalog.pg_is_in_recovery() as recovers, (select system_identifier::text from pg_catalog.pg_control_system()) as "systemIdentifier",
                case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() else pg_catalog.pg_current_wal_flush_lsn() end::text as lsn`,
}
const slotQuery = { row: z.object({ name: z.string() }), text: 'select slot_name as name from pg_catalog.pg_replication_slots where slot_name = $1' }
const receivedQuery = { name: 'received', row: z.object({ lsn: lsnSchema.nullable() }), text: 'select pg_catalog.pg_last_wal_receive_lsn()::text as lsn' }

/** The LSN is that of the last record's beginning: all that was acknowledged is before it. */
async function hasReceived(target: PostgresConnection, end: Lsn, limit: AbortSignal): Promise<void> {
  for (;;) {
    const [row] = await target.query(receivedQuery, [], limit)
    if (row?.lsn != null && row.lsn > end) return
    await sleep(pollMs, undefined, { signal: limit })
  }
}

function since(heldAt: number | null): number | null {
  return heldAt === null ? null : Math.round(performance.now() - heldAt)
}
