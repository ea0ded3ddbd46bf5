/** From the standalone to the cluster that follows it: fence, hold, stop, promote through Patroni, route, let go. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { PostgresConnection } from '../../clients/postgres.ts'
import { watchWal } from '../../clients/postgres/walSegment.ts'
import type { Member } from '../../domain/desired.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { patroniName } from '../../domain/names.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import { standaloneServer } from './clients.ts'
import type { Way, Window } from './cutover.ts'
import { markOf, standbyKey, type Decision } from './decision.ts'
import { followerConninfo } from './places.ts'
import { checkRoom, ensureRunning, prepareStop, setFence, startServer } from './server.ts'
import { againMs, hasReceived, toStopMs, type Session } from './session.ts'

/** Patroni makes it in its next cycle. */
const slotMs = 10_000
const slotQuery = { row: z.object({ name: z.string() }), text: 'select slot_name as name from pg_catalog.pg_replication_slots where slot_name = $1' }

export class Upgrade implements Way {
  readonly #session: Session
  #systemIdentifier = ''
  /** Who followed for all, and is to lead. */
  #expected: Member | undefined

  constructor(session: Session) {
    this.#session = session
  }

  isDecided({ follows }: Decision): boolean {
    return !follows
  }

  readonly back = markOf

  async prepare(limit: AbortSignal): Promise<Window> {
    const { places, routes, signal, desired } = this.#session
    const source = await this.#session.connect(places.standalone)
    const leader = await this.#session.leader()
    this.#expected = leader
    const target = await this.#session.connect(leader)
    const others = places.cluster.members.filter(({ id }) => id !== leader.id)
    const members = [target, ...await Promise.all(others.map((member) => this.#session.connect(member)))]
    for (const member of members) await this.#session.checkFollows(source, member)
    const decision = await this.#decisionWithSlot(target)
    await setFence(places, followerConninfo(desired, places), decision.modRevision, signal)
    const prepared = await prepareStop(places, signal)
    const wal = await watchWal(source, limit)
    for (const connection of [source, target, source]) await connection.execute('checkpoint', [], limit)
    // last: it ends by itself after some seconds
    await routes.readsToMembers(limit)
    routes.prepare()
    await Promise.all(places.cluster.members.map((member) => checkRoom(places.container(member), limit)))
    const filled = await wal.fill(toStopMs, limit)
    await Promise.all(members.map((member) => hasReceived(member, filled, false, limit)))
    return async (forMs, budget, beforeDeciding) => {
      await routes.hold(standaloneServer, forMs, budget)
      this.#session.mark('held')
      await this.#session.readMeanwhile(source, target, leader, () => routes.lendMember(patroniName(leader.id), forMs, budget), budget)
      const end = await prepared.stop(budget)
      this.#session.mark('stopped')
      // every one of them: whoever leads then, should the first one die at that moment, lacks nothing that was acknowledged
      await Promise.all(members.map((member) => hasReceived(member, end, member === target, budget)))
      this.#session.mark('received')
      beforeDeciding()
      await this.#session.decide(decision, { [standbyKey]: null })
      this.#session.mark('decided')
      await this.#wake(leader)
    }
  }

  /** The former server will need what is written from now on; seen on the standby leader before it is relied on. */
  async #decisionWithSlot(target: PostgresConnection): Promise<Decision> {
    const decision = await this.#session.readDecision()
    if (!decision.follows) throw new HoldfastError('Conflict', 'the cluster was told to lead already')
    const next = await this.#session.decide(decision, { slots: { [followerSlotName]: { type: 'physical' } } })
    const limit = this.#session.within(slotMs)
    for (;;) {
      if ((await target.query(slotQuery, [followerSlotName], limit)).length > 0) return next
      await sleep(againMs, undefined, { signal: limit })
    }
  }

  /** It looks by itself within a second. */
  async #wake(leader: Member): Promise<void> {
    await this.#session.patroni(leader).wake(this.#session.signal).catch(() => undefined)
  }

  async goOn(limit: AbortSignal): Promise<void> {
    const { member, systemIdentifier } = await this.#session.withRoom(this.#session.places.cluster.members, limit, this.#session.leading(limit, this.#expected))
    this.#systemIdentifier = systemIdentifier
    this.#session.mark('promoted')
    await this.#session.holdReaders(member, standaloneServer, limit)
    await this.#session.routes.toMember(patroniName(member.id), limit, 'left')
    this.#session.mark('letGo')
  }

  /** The planner has the former server follow, once the cluster is whole. */
  afterwards(): Promise<string> {
    return Promise.resolve(this.#systemIdentifier)
  }

  /** One that was started meanwhile, by whomever, came up as a follower of nobody: it holds all that it ever acknowledged, and is promoted. */
  async goBack(back: Decision, limit: AbortSignal): Promise<void> {
    const { places } = this.#session
    await ensureRunning(places, limit)
    await setFence(places, null, back.modRevision, limit)
    await startServer(places.container(places.standalone), limit)
    await this.#session.until(places.standalone, limit, async ({ recovers }, connection) => {
      if (recovers) await connection.execute('select pg_catalog.pg_promote(false)', [], limit)
      return recovers ? null : true
    })
    await this.#session.holdReaders(places.standalone, standaloneServer, limit)
    await this.#session.routes.letGo(limit)
  }
}
