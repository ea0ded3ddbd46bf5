/**
 * From the cluster back to the standalone that follows it: pause Patroni, hold, stop the leader, promote, route, let go. The cluster follows
 * from then on, in its turn.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresConnection } from '../../clients/postgres.ts'
import { watchWal } from '../../clients/postgres/walSegment.ts'
import type { Member } from '../../domain/desired.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { patroniName } from '../../domain/names.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import { clusterConfiguration } from '../../render/clusterConfiguration.ts'
import { followingConfigurationOf } from '../../render/clusterMemberBlueprint.ts'
import { standaloneServer } from './clients.ts'
import type { Way, Window } from './cutover.ts'
import { markOf, noPause, pauseFor, standbyKey, type Decision } from './decision.ts'
import { checkRoom, ensureRunning, prepareLeaderStop, setFence } from './server.ts'
import { againMs, hasReceived, toStopMs, type Session } from './session.ts'

/**
 * Told between two of its looks for WAL, PostgreSQL notes that it is to be promoted and still sleeps for `wal_retrieve_retry_interval`
 * (WaitForWALToBecomeAvailable in xlogrecovery.c; measured: 170 to 200 ms, every third time). Told again meanwhile it wakes.
 */
const nudgeMs = 20
/** After a while it is busy with something else. */
const nudgesMs = 1_000
const seldomMs = 2_000
/** Every member looks once a second. */
const pausedMs = 10_000
const makeSlotSql = 'select pg_catalog.pg_create_physical_replication_slot($1, true)'
/** One from an earlier time would hold WAL back that nobody needs, or be lost. */
const dropSlotSql = 'select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = $1 and not active'

export class Rollback implements Way {
  readonly #session: Session
  /** That it is to take writes: first, and last. */
  #told: { readonly first: number; readonly last: number } | null = null

  constructor(session: Session) {
    this.#session = session
  }

  isDecided({ follows }: Decision): boolean {
    return follows
  }

  readonly back = (decision: Decision): Readonly<Record<string, unknown>> => ({ ...noPause, ...markOf(decision) })

  async prepare(limit: AbortSignal): Promise<Window> {
    const { places, routes, signal, order } = this.#session
    const leader = await this.#session.leader()
    const [source, target] = [await this.#session.connect(leader), await this.#session.connect(places.standalone)]
    await this.#session.checkFollows(source, target)
    await target.execute(dropSlotSql, [followerSlotName], signal)
    await target.execute(makeSlotSql, [followerSlotName], signal)
    const wal = await watchWal(source, limit)
    for (const connection of [source, target]) await connection.execute('checkpoint', [], limit)
    const following = this.#following()
    const decision = await this.#paused()
    // the last word: since then no other member can have come to lead
    if ((await this.#session.leader()).id !== leader.id) throw new HoldfastError('Conflict', 'another member leads the cluster by now')
    await this.#session.checkFollows(source, target)
    const prepared = await prepareLeaderStop(places, leader, order.operationId, signal)
    await source.execute('checkpoint', [], limit)
    await routes.readsToStandalone(limit)
    routes.prepare()
    await checkRoom(places.container(places.standalone), limit)
    await hasReceived(target, await wal.fill(toStopMs, limit), false, limit)
    return async (forMs, budget, beforeDeciding) => {
      await routes.hold(patroniName(leader.id), forMs, budget)
      this.#session.mark('held')
      await this.#session.readMeanwhile(source, target, places.standalone, () => routes.toStandalone(budget), budget)
      const end = await prepared.stop(budget)
      this.#session.mark('stopped')
      await hasReceived(target, end, true, budget)
      this.#session.mark('received')
      beforeDeciding()
      await this.#session.decide(decision, following)
      this.#session.mark('decided')
      // it is looked after again, over another connection, by whoever goes on
      await this.#promote(target, signal).catch(() => undefined)
    }
  }

  /** From here on nobody is promoted in place of a leader that stops, and nobody starts it again: until all members know, it does not stop. */
  async #paused(): Promise<Decision> {
    const { order, places } = this.#session
    const decision = await this.#session.readDecision()
    if (decision.follows) throw new HoldfastError('Conflict', 'the cluster was told to follow already')
    const paused = await this.#session.decide(decision, pauseFor(order.operationId))
    const limit = this.#session.within(pausedMs)
    await Promise.all(places.cluster.members.map((member) => this.#knowsPause(member, limit)))
    return paused
  }

  /** A member whose container does not run knows nothing, and learns of the pause before anything else when it is started. */
  async #knowsPause(member: Member, limit: AbortSignal): Promise<void> {
    const { engine, name } = this.#session.places.container(member)
    const patroni = this.#session.patroni(member)
    await patroni.wake(limit).catch(() => undefined)
    for (;;) {
      const isPaused = await patroni.isPaused(limit).catch(() => null)
      if (isPaused === true) return
      if (isPaused === null && (await engine.findContainer(name, limit))?.state === 'exited') return
      await sleep(againMs, undefined, { signal: limit }).catch((cause: unknown) => {
        throw new HoldfastError('Conflict', `member ${member.ordinal} of the cluster does not answer, and could lead without anybody's knowledge`, { cause })
      })
    }
  }

  /** All that is to be known of whom to follow, still paused: nobody is started before clients are served. */
  #following(): Readonly<Record<string, unknown>> {
    const { desired, places: { cluster } } = this.#session
    return { [standbyKey]: clusterConfiguration(followingConfigurationOf(desired, cluster, this.#session.places.standalone))[standbyKey], slots: { [followerSlotName]: null } }
  }

  /** The standalone received everything before this was decided; its fence is lifted so that it may serve after its next start, too. */
  async goOn(limit: AbortSignal): Promise<void> {
    const { places } = this.#session
    await Promise.all([ensureRunning(places, limit), this.#session.withRoom([places.standalone], limit, this.#promoted(limit))])
    this.#session.mark('promoted')
    await this.#session.holdReaders(places.standalone, standaloneServer, limit)
    await this.#session.routes.toStandalone(limit, 'left')
    this.#session.mark('letGo')
  }

  async afterwards(limit: AbortSignal): Promise<string> {
    const { places } = this.#session
    const decision = await this.#unpaused(limit)
    await ensureRunning(places, limit)
    await setFence(places, null, decision.modRevision, limit)
    await Promise.all(places.cluster.members.map((member) => this.#session.patroni(member).wake(limit).catch(() => undefined)))
    // restarted before its fence was lifted, it would only follow: nobody is told that it serves before it is seen to
    return this.#promoted(limit)
  }

  /** Told now and then, because it may have been started again since; it takes a moment each time. Its system identifier. */
  #promoted(limit: AbortSignal): Promise<string> {
    return this.#session.until(this.#session.places.standalone, limit, async ({ recovers, systemIdentifier }, connection) => {
      if (!recovers) return systemIdentifier
      // it may just have been: then that is an error
      await this.#promote(connection, limit).catch(() => undefined)
      return null
    })
  }

  async #promote(connection: PostgresConnection, limit: AbortSignal): Promise<void> {
    const now = performance.now()
    const { first, last } = this.#told ?? { first: now, last: -Infinity }
    if (now - last < (now - first < nudgesMs ? nudgeMs : seldomMs)) return
    this.#told = { first, last: now }
    await connection.execute('select pg_catalog.pg_promote(false)', [], limit)
  }

  async #unpaused(limit: AbortSignal): Promise<Decision> {
    for (;;) {
      const decision = await this.#session.readDecision(limit)
      if (!decision.follows) throw new HoldfastError('Conflict', 'the cluster was told to lead meanwhile')
      const next = await this.#session.decide(decision, noPause, limit).catch(() => null)
      if (next !== null) return next
      await sleep(againMs, undefined, { signal: limit })
    }
  }

  /** Patroni starts its leader again, or has another member lead: each of them has everything that was acknowledged. */
  async goBack(_back: Decision, limit: AbortSignal): Promise<void> {
    const { places } = this.#session
    await Promise.all(places.cluster.members.map((member) => this.#session.patroni(member).wake(limit).catch(() => undefined)))
    const { member } = await this.#session.leading(limit)
    await this.#session.holdReaders(member, patroniName(member.id), limit)
    await this.#session.routes.toMember(patroniName(member.id), limit)
  }
}
