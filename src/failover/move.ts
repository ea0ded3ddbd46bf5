/**
 * Moves the lead of a healthy cluster on purpose. The fast way stops PostgreSQL cleanly under a frozen Patroni, proves that the candidate
 * holds the shutdown checkpoint, ends the container, and lets the key go so that only the candidate may win. Until the container is
 * killed everything can go back. Where the fast way's conditions do not hold, Patroni's own switchover is asked.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../domain/errors.ts'
import type { WatchedCluster, WatchedMember } from './cluster.ts'
import type { ContainerEvidence, Evidence, KnownKeys } from './evidence.ts'
import { fence } from './fence.ts'
import { Incident, type Words } from './incident.ts'
import { Lookout } from './lookout.ts'
import { comeBack, hasReceived, lagsBy, leave, prepareStop } from './moving.ts'
import type { GuardWorld } from './ports.ts'
import type { Recordings } from './recorder.ts'
import { releaseLeader } from './release.ts'
import { createRoute, type Route } from './route.ts'
import { syncForMove } from './transaction.ts'
import { writableLeader } from './trouble.ts'
import { keysToRelease } from './verdict.ts'

export interface MoveOrder {
  readonly instanceId: string
  /** Member id of the one that leads now. */
  readonly leaderId: string
  /** Member id; null: the best synchronous replica. */
  readonly candidateId: string | null
}

export type MoveOutcome =
  | { readonly kind: 'moved'; readonly leaderId: string; readonly way: 'fast' | 'patroni'; readonly writeGapMs: number | null }
  /** Another member leads already. */
  | { readonly kind: 'notNeeded'; readonly leaderId: string }
  /** Nothing was done. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It was begun; whoever leads now leads. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface Mover {
  /** One at a time of one cluster. Never rejects. */
  move(order: MoveOrder, signal: AbortSignal): Promise<MoveOutcome>
  /** Before a replica is stopped: reads go to the others. Never rejects. */
  drainReads(order: { readonly instanceId: string; readonly memberId: string }, signal: AbortSignal): Promise<void>
}

export interface MoverOptions {
  readonly world: GuardWorld
  readonly controller: string
  readonly recordings: Recordings
  /** Without the guard nothing but Patroni decides who leads: its own switchover is asked. */
  readonly isGuardOn: boolean
  readonly clusterOf: (instanceId: string) => WatchedCluster | undefined
  /** The guard of the same process leaves the cluster alone meanwhile; the answer ends that. */
  readonly standBack: (instanceId: string, ms: number) => () => void
}

/** All together; the guard does not look at the cluster for as long. */
const moveMs = 90_000
const warmUpMs = 2_000
/** What the replica may lack when new clients begin to wait; it is caught up long before PostgreSQL has stopped. */
const mostLagBytes = 16 * 1024 * 1024
const receiveMs = 3_000
const writableMs = 15_000
const resumeMs = 2_000
const pollMs = 15

export function createMover(options: MoverOptions): Mover {
  const moving = new Set<string>()
  const drain = async (cluster: WatchedCluster, memberId: string, signal: AbortSignal): Promise<void> => {
    const member = cluster.members.find((one) => one.memberId === memberId)
    if (member === undefined) return
    for (const { proxy, failure } of await createRoute(cluster, options.world).readElsewhere(member.name, signal)) {
      if (failure !== null) options.world.log.info({ databaseId: cluster.databaseId, member: member.name, proxy, reason: failure }, 'readers could not all be led elsewhere')
    }
  }
  return {
    async move(order, signal) {
      const cluster = options.clusterOf(order.instanceId)
      if (cluster === undefined) return { kind: 'refused', reason: 'the cluster is not known to the guard' }
      if (moving.has(order.instanceId)) return { kind: 'refused', reason: 'its leader is being moved already' }
      moving.add(order.instanceId)
      const endStandBack = options.standBack(order.instanceId, moveMs)
      const lookout = new Lookout(cluster, options.world, () => undefined)
      const route = createRoute(cluster, options.world)
      let outcome: MoveOutcome
      try {
        outcome = await new Move(order, { cluster, lookout, route }, options, AbortSignal.any([signal, AbortSignal.timeout(moveMs)])).run()
      } catch (error) {
        outcome = { kind: 'failed', reason: describeError(error) }
      } finally {
        lookout.close()
        route.rest()
        moving.delete(order.instanceId)
        endStandBack()
      }
      // it was a replica with readers until now
      if (outcome.kind === 'moved') await drain(cluster, outcome.leaderId, signal)
      return outcome
    },
    async drainReads({ instanceId, memberId }, signal) {
      const cluster = options.clusterOf(instanceId)
      if (cluster !== undefined) await drain(cluster, memberId, signal)
    },
  }
}

interface Chosen {
  readonly leader: WatchedMember
  readonly candidate: WatchedMember
  /** The leader's, as the engine knows it. */
  readonly container: Extract<ContainerEvidence, { known: true }>
  readonly keys: KnownKeys
  readonly evidence: Evidence
}

class Move {
  readonly #order: MoveOrder
  readonly #cluster: WatchedCluster
  readonly #lookout: Lookout
  readonly #route: Route
  readonly #options: MoverOptions
  readonly #signal: AbortSignal
  #isPoolPaused = false

  constructor(order: MoveOrder, { cluster, lookout, route }: { readonly cluster: WatchedCluster; readonly lookout: Lookout; readonly route: Route }, options: MoverOptions, signal: AbortSignal) {
    this.#order = order
    this.#cluster = cluster
    this.#lookout = lookout
    this.#route = route
    this.#options = options
    this.#signal = signal
  }

  async run(): Promise<MoveOutcome> {
    const chosen = await this.#choose()
    if ('kind' in chosen) return chosen
    const { leader, candidate, evidence } = chosen
    const words: Words = { severity: 'info', reason: 'LeaderMoving', message: `The lead is moved from ${leader.name} to ${candidate.name}` }
    const incident = new Incident(this.#cluster, this.#options.controller, 'switchover', words, evidence)
    const obstacle = await this.#obstacle(chosen)
    incident.fact('obstacle', obstacle)
    let outcome: MoveOutcome
    try {
      outcome = obstacle === null ? await this.#fast(chosen, incident) : await this.#byPatroni(chosen, incident)
    } finally {
      await this.#resumePool()
    }
    incident.end(
      { reason: outcome.kind, leaderChanged: outcome.kind === 'moved', leaderId: outcome.kind === 'moved' ? outcome.leaderId : null, writeGapMs: outcome.kind === 'moved' ? outcome.writeGapMs : null },
      outcome.kind === 'moved' ? { severity: 'info', reason: 'LeaderMoved', message: `${this.#nameOf(outcome.leaderId) ?? candidate.name} leads and takes writes` } : null,
    )
    this.#options.recordings.keep(incident.record)
    return outcome
  }

  /** Looks until everybody has answered once, then says who goes and who comes. */
  async #choose(): Promise<Chosen | MoveOutcome> {
    const until = performance.now() + warmUpMs
    let evidence = await this.#lookout.look()
    while (!isComplete(evidence) && performance.now() < until) {
      await sleep(pollMs, undefined, { signal: this.#signal })
      evidence = await this.#lookout.look()
    }
    const { keys } = evidence
    if (!keys.known) return { kind: 'refused', reason: `etcd does not answer: ${keys.reason}` }
    const holder = this.#cluster.members.find(({ name }) => name === keys.leader?.name)
    if (holder === undefined) return { kind: 'refused', reason: 'nobody leads' }
    if (holder.memberId !== this.#order.leaderId) return { kind: 'notNeeded', leaderId: holder.memberId }
    const { candidateId } = this.#order
    const said = evidence.members.find(({ name }) => name === holder.name)?.said
    const fit = (keys.sync?.standbys ?? []).filter((name) => said?.repliesMs[name] !== undefined)
    const candidate = this.#cluster.members.find(({ memberId, name }) => fit.includes(name) && (candidateId === null || memberId === candidateId))
    if (candidate === undefined) return { kind: 'refused', reason: candidateId === null ? 'no replica is synchronous' : 'the chosen replica is not synchronous' }
    const container = evidence.members.find(({ name }) => name === holder.name)?.container
    if (container?.known !== true) return { kind: 'refused', reason: 'the engine of the leader does not answer' }
    return { leader: holder, candidate, container, keys, evidence }
  }

  /** Null when the fast way may be taken. */
  async #obstacle({ leader, candidate, container, keys, evidence }: Chosen): Promise<string | null> {
    if (!this.#options.isGuardOn) return 'the failover guard is off'
    if (keys.mode === 'other' || keys.paused || keys.sync?.leader !== leader.name) return 'its configuration or its keys are not those of a calm cluster'
    const from = evidence.members.find(({ name }) => name === leader.name)
    const to = evidence.members.find(({ name }) => name === candidate.name)
    if (container.state !== 'running') return 'the container of the leader was not seen to run'
    if (from?.patroni.seen !== 'answers' || from.said?.inRecovery !== false) return 'the leader is not well'
    if (to?.patroni.seen !== 'answers' || to.said?.inRecovery !== true) return 'the candidate is not well'
    const lag = await lagsBy(this.#options.world, this.#cluster, leader, candidate.name, this.#signal)
    return lag === null || lag > mostLagBytes ? `the candidate lacks ${lag ?? 'an unknown number of'} bytes` : null
  }

  async #fast({ leader, candidate, container }: Chosen, incident: Incident): Promise<MoveOutcome> {
    const { world } = this.#options
    const engine = world.engineOf(leader.hostId)
    await prepareStop(world, this.#cluster, leader, this.#signal)
    incident.tell('done', 'A checkpoint was written, and the WAL file filled, while clients went on')
    await this.#pausePool(incident)
    const awayAt = performance.now()
    const goBack = async (reason: string): Promise<MoveOutcome> => {
      await comeBack(engine, leader.containerName)
      incident.tell('done', `Went back: ${reason}`)
      return { kind: 'failed', reason }
    }
    const [left] = await Promise.all([leave(engine, leader.containerName, this.#signal), this.#route.away(leader.name, this.#signal)])
    if (!left.ok) {
      // it mostly runs on; one that has stopped is found by the proxies' checks
      await this.#route.back(leader.name, this.#signal)
      return goBack(left.reason)
    }
    incident.tell('done', `PostgreSQL of ${leader.name} has shut down; its last record is ${left.lsnText}`)
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(receiveMs)])
    // the LSN is that of the record's beginning: all that was acknowledged is before it
    if (!await hasReceived(world, this.#cluster, candidate, left.lsn, limit)) return goBack(`${candidate.name} was not seen to hold the shutdown checkpoint`)
    incident.tell('done', `${candidate.name} holds it`)

    // the point of no return is the container's end: from there on only forward
    const fenced = await fence({ engine, events: world.events }, { memberId: leader.memberId, name: leader.name, containerId: container.id, startedAt: container.startedAt }, this.#signal)
    incident.fact('fence', fenced)
    if (fenced.kind !== 'dead') return goBack(`the container of ${leader.name} was not seen dead (${fenced.kind})`)
    this.#lookout.probeOf(leader.name)?.heardOfEnd({ id: container.id, at: new Date() })
    const released = await this.#release(leader, candidate)
    if (released !== null) return { kind: 'failed', reason: released }
    incident.tell('done', `The leader key was removed; only ${candidate.name} may win`)
    return this.#await(awayAt, 'fast', incident)
  }

  async #byPatroni({ leader, candidate }: Chosen, incident: Incident): Promise<MoveOutcome> {
    const probe = this.#lookout.probeOf(leader.name)
    if (probe === undefined) return { kind: 'failed', reason: 'the leader cannot be asked' }
    await this.#pausePool(incident)
    const askedAt = performance.now()
    const reply = await probe.patroni.switchover({ leader: leader.name, candidate: candidate.name }, this.#signal)
    incident.tell('done', `Patroni was asked for a switchover: ${reply.message}`)
    return reply.done ? this.#await(askedAt, 'patroni', incident) : { kind: 'refused', reason: reply.message }
  }

  #nameOf(memberId: string): string | undefined {
    return this.#cluster.members.find((member) => member.memberId === memberId)?.name
  }

  /** Pooled clients see a delay and no error. A pool that cannot be told errs as it would without this. */
  async #pausePool(incident: Incident): Promise<void> {
    this.#isPoolPaused = true
    const told = await this.#route.pausePool(this.#signal)
    for (const { proxy, failure } of told) incident.tell('done', `The pool of ${proxy}: ${failure ?? 'paused'}`)
  }

  async #resumePool(): Promise<void> {
    if (!this.#isPoolPaused) return
    this.#isPoolPaused = false
    // whatever ended the move: nobody waits for what does not come
    await this.#route.resumePool(AbortSignal.timeout(resumeMs))
  }

  /** Reads the keys anew: the leader is dead, so nobody moves `/sync` any more. Null when the key is gone. */
  async #release(leader: WatchedMember, candidate: WatchedMember): Promise<string | null> {
    const { world } = this.#options
    for (;;) {
      await this.#lookout.readKeys(false)
      const { keys } = this.#lookout.evidence()
      const order = keys.known && keys.leader?.name === leader.name ? keysToRelease(keys) : null
      // somebody else's guard was quicker, which is as well
      if (keys.known && keys.leader?.name !== leader.name) return null
      if (order === null || !keys.known || keys.sync?.standbys.includes(candidate.name) !== true) return `${candidate.name} may not win by what /sync says`
      const outcome = await releaseLeader(world.etcd, this.#cluster.prefix, order, this.#signal, syncForMove(leader.name, candidate.name))
      if (outcome.kind === 'released') return null
      if (outcome.kind === 'unanswered') return `etcd did not say: ${outcome.reason}`
    }
  }

  async #await(since: number, way: 'fast' | 'patroni', incident: Incident): Promise<MoveOutcome> {
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(writableMs)])
    while (!limit.aborted) {
      const evidence = await this.#lookout.glance(limit)
      const name = writableLeader(evidence)
      const member = this.#cluster.members.find((one) => one.name === name)
      if (member !== undefined && member.memberId !== this.#order.leaderId) {
        await this.#route.to(member.name, limit)
        await this.#resumePool()
        const writeGapMs = Math.round(performance.now() - since)
        incident.tell('done', 'The proxies were told')
        return { kind: 'moved', leaderId: member.memberId, way, writeGapMs: way === 'fast' ? writeGapMs : null }
      }
      await sleep(pollMs, undefined, { signal: limit }).catch(() => undefined)
    }
    return { kind: 'failed', reason: 'nobody was seen to take writes in time' }
  }
}

function isComplete({ keys, members }: Evidence): boolean {
  return keys.known && members.every(({ container, patroni, query }) => container.known && patroni.seen !== 'never' && query.seen !== 'never')
}
