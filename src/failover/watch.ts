/**
 * Watches one cluster: cheap questions at a steady rate while it is well, quick rounds as soon as anything is amiss, and a verdict
 * from what is known. One verdict is acted on at a time; what came of it is seen by looking again, never assumed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createActor, type Actor } from './actor.ts'
import type { WatchedCluster } from './cluster.ts'
import type { Evidence } from './evidence.ts'
import { Lookout } from './lookout.ts'
import type { Question } from './memberProbe.ts'
import type { ContainerNews, GuardWorld } from './ports.ts'
import type { Recordings } from './recorder.ts'
import { createRoute, type Route } from './route.ts'
import { isAmiss, writableLeader } from './trouble.ts'
import { judge, type Verdict } from './verdict.ts'
import { nothing } from './verdict/words.ts'

type Rates = Readonly<Record<'leader' | 'replica', Readonly<Partial<Record<Question, number>>>>>

/** How often what is asked, of a cluster that is well: what a look costs us and the member, against what it finds sooner. */
const calmMs: Rates = {
  leader: { query: 250, patroni: 500, connect: 2_000, container: 5_000 },
  replica: { query: 500, patroni: 1_000, connect: 5_000, container: 5_000 },
}
const calmKeysMs = 1_000
/**
 * While something is amiss. A query on a kept session costs next to nothing and is asked in every look. The others cost what an
 * election needs itself: a thread of the member's Patroni, a lock in its engine, a process of PostgreSQL.
 */
const rushAskMs: Rates = {
  leader: { query: 250, patroni: 100, connect: 500, container: 100 },
  replica: { query: 250, patroni: 500, container: 100 },
}

/** Between looks while something is amiss, and for how long after nothing is found any more. */
const rushMs = 25
const slowRushMs = 150
/** The first moments after a death, and after each change of the leader, decide on the write gap; after that there is patience to be had. */
const quickForMs = 1_500
const settleMs = 400

export class ClusterWatch {
  readonly cluster: WatchedCluster
  readonly #lookout: Lookout
  readonly #actor: Actor
  readonly #route: Route
  readonly #end = new AbortController()
  /** Cuts short what is being waited for: an engine has told that a member ended. */
  #news = new AbortController()
  readonly #askedAt = new Map<string, number>()
  #rush: Promise<void> | null = null
  #rushUntil = 0
  #quickUntil = 0
  #standsBackUntil = 0
  /** The leader that the proxies were last told, or found by themselves. */
  #routedTo: string | null = null

  constructor(cluster: WatchedCluster, world: GuardWorld, recordings: Recordings, controller: string) {
    this.cluster = cluster
    this.#route = createRoute(cluster, world)
    this.#lookout = new Lookout(cluster, world, () => this.hurry())
    this.#actor = createActor({
      cluster, world, recordings, controller, route: this.#route,
      probeOf: (name) => this.#lookout.probeOf(name), look: () => this.#lookout.look(), forgetKeys: () => this.#lookout.forgetKeys(), signal: this.#end.signal,
    })
  }

  /** `now`, `lateMs`: of the guard's one clock; how late this tick came. */
  tick(now: number, lateMs: number): void {
    this.#lookout.wasLate(lateMs)
    if (this.#rush !== null || this.#standsBack(now)) return
    this.#askWhatIsDue(now, calmMs)
    if (this.#isDue('keys', calmKeysMs, now)) void this.#lookout.readKeys(false)
    if (isAmiss(this.#lookout.evidence())) this.hurry()
  }

  overslept(now: number): void {
    this.#lookout.overslept(now)
  }

  onContainer(news: ContainerNews): void {
    const member = this.cluster.members.find(({ hostId, containerName }) => hostId === news.hostId && containerName === news.name)
    if (member === undefined) return
    if (news.action === 'die') {
      this.#lookout.probeOf(member.name)?.heardOfEnd(news)
      this.#quickUntil = performance.now() + quickForMs
      this.#news.abort()
    }
    this.hurry()
  }

  /** Looks at once, and goes on looking until all is well. */
  hurry(): void {
    if (this.#standsBack(performance.now())) return
    this.#rushUntil = performance.now() + settleMs
    if (this.#rush === null) this.#quickUntil = performance.now() + quickForMs
    this.#rush ??= this.#rushAlong().finally(() => { this.#rush = null })
  }

  /**
   * Somebody moves the lead on purpose: what looks like trouble in the meantime is theirs, and every question of ours would only take
   * time from them. It ends by itself, or by the answer.
   */
  standBack(ms: number): () => void {
    this.#standsBackUntil = performance.now() + ms
    return () => {
      this.#standsBackUntil = 0
      // what was read before the move is no evidence after it
      this.#lookout.forgetKeys()
      void this.#lookout.look().then(() => this.hurry())
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new Error('the guard does not watch this cluster any more'))
    this.#news.abort()
    this.#lookout.close()
    await this.#rush
  }

  async #rushAlong(): Promise<void> {
    const { signal } = this.#end
    let leader = this.#lookout.leader
    while (!signal.aborted && performance.now() < this.#rushUntil && !this.#standsBack(performance.now())) {
      this.#askWhatIsDue(performance.now(), rushAskMs)
      const evidence = await this.#lookout.glance(this.#news.signal)
      if (this.#news.signal.aborted && !signal.aborted) this.#news = new AbortController()
      const verdict = this.#standsBack(performance.now()) ? nothing : judge(evidence)
      if (isAmiss(evidence) || writableLeader(evidence) !== this.#routedTo) this.#rushUntil = performance.now() + settleMs
      await this.#followRoute(evidence, verdict)
      await this.#actor.act(verdict, evidence)
      // what was done may have taken longer than calm takes to be believed, and what it led to was not seen yet
      if (isDeed(verdict)) this.#rushUntil = performance.now() + settleMs
      if (this.#lookout.leader !== leader) this.#quickUntil = performance.now() + quickForMs
      leader = this.#lookout.leader
      const isQuick = performance.now() < this.#quickUntil || isUrgent(verdict, evidence)
      await sleep(isQuick ? rushMs : slowRushMs, undefined, { signal: this.#news.signal }).catch(() => undefined)
    }
    this.#actor.calm()
    this.#route.rest()
  }

  #standsBack(now: number): boolean {
    return now < this.#standsBackUntil
  }

  /** Whoever made another member the leader, the guard or Patroni by itself: the proxies learn it when it takes writes. */
  async #followRoute(evidence: Evidence, verdict: Verdict): Promise<void> {
    const leader = writableLeader(evidence)
    if (leader === null || leader === this.#routedTo) return
    const isFirst = this.#routedTo === null
    this.#routedTo = leader
    // at the start the proxies' own checks have long found it
    if (!isFirst) this.#actor.routed(leader, await this.#route.to(leader, this.#end.signal), verdict, evidence)
  }

  #askWhatIsDue(now: number, rates: Rates): void {
    const { leader } = this.#lookout
    for (const { name } of this.cluster.members) {
      for (const [question, everyMs] of Object.entries(rates[name === leader ? 'leader' : 'replica']) as [Question, number][]) {
        if (this.#isDue(`${name}/${question}`, everyMs, now)) this.#lookout.ask(question, name)
      }
    }
  }

  /** The first time at a random moment, so that clusters and members are not asked all at once. */
  #isDue(what: string, everyMs: number, now: number): boolean {
    const askedAt = this.#askedAt.get(what) ?? now - Math.random() * everyMs
    const isDue = now - askedAt >= everyMs
    this.#askedAt.set(what, isDue ? now : askedAt)
    return isDue
  }
}

/** Of a verdict that only waits nothing follows, and it may last for hours. */
function isDeed({ kind }: Verdict): boolean {
  return kind === 'releaseLeader' || kind === 'killLeader' || kind === 'killReplica' || kind === 'hostLost'
}

/** An election is under way, or a death is about to be proved. */
function isUrgent(verdict: Verdict, { keys }: Evidence): boolean {
  return (keys.known && keys.leader === null) || verdict.kind === 'releaseLeader' || verdict.kind === 'killLeader'
}
