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

/** How often what is asked, of a cluster that is well: what a look costs us and the member, against what it finds sooner. */
const calmMs: Readonly<Record<'leader' | 'replica', Readonly<Record<Question, number>>>> = {
  leader: { query: 250, patroni: 500, connect: 2_000, container: 5_000 },
  replica: { query: 500, patroni: 1_000, connect: 5_000, container: 5_000 },
}
const calmKeysMs = 1_000
/** New connections while something is amiss: the one question that costs the member a process. */
const rushConnectMs = 500

/** Between looks while something is amiss, and for how long after nothing is found any more. */
const rushMs = 25
const slowRushMs = 150
/** The first moments decide on the write gap; after that there is patience to be had. */
const quickForMs = 1_500
const settleMs = 400

export class ClusterWatch {
  readonly cluster: WatchedCluster
  readonly #lookout: Lookout
  readonly #actor: Actor
  readonly #route: Route
  readonly #end = new AbortController()
  readonly #nextAt = new Map<string, number>()
  #rush: Promise<void> | null = null
  #rushUntil = 0
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
    if (this.#rush !== null) return
    this.#askWhatIsDue(now)
    if (isAmiss(this.#lookout.evidence())) this.hurry()
  }

  overslept(now: number): void {
    this.#lookout.overslept(now)
  }

  onContainer(news: ContainerNews): void {
    if (this.cluster.members.some(({ hostId, containerName }) => hostId === news.hostId && containerName === news.name)) this.hurry()
  }

  /** Looks at once, and goes on looking until all is well. */
  hurry(): void {
    this.#rushUntil = performance.now() + settleMs
    this.#rush ??= this.#rushAlong().finally(() => { this.#rush = null })
  }

  /** Somebody moves the lead on purpose: what looks like trouble in the meantime is theirs. It ends by itself, or by the answer. */
  standBack(ms: number): () => void {
    this.#standsBackUntil = performance.now() + ms
    return () => {
      this.#standsBackUntil = 0
      this.hurry()
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new Error('the guard does not watch this cluster any more'))
    this.#lookout.close()
    await this.#rush
  }

  async #rushAlong(): Promise<void> {
    const { signal } = this.#end
    const startedAt = performance.now()
    while (!signal.aborted && performance.now() < this.#rushUntil) {
      const leader = this.#lookout.leader
      if (leader !== null) this.#askIfDue('connect', leader, rushConnectMs)
      const evidence = await this.#lookout.look()
      const verdict = performance.now() < this.#standsBackUntil ? nothing : judge(evidence)
      if (isAmiss(evidence) || writableLeader(evidence) !== this.#routedTo) this.#rushUntil = performance.now() + settleMs
      await this.#followRoute(evidence, verdict)
      await this.#actor.act(verdict, evidence)
      const isQuick = performance.now() - startedAt < quickForMs || isUrgent(verdict, evidence)
      await sleep(isQuick ? rushMs : slowRushMs, undefined, { signal }).catch(() => undefined)
    }
    this.#actor.calm()
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

  #askWhatIsDue(now: number): void {
    const { leader } = this.#lookout
    for (const { name } of this.cluster.members) {
      const rates = calmMs[name === leader ? 'leader' : 'replica']
      for (const question of ['query', 'patroni', 'connect', 'container'] as const) this.#askIfDue(question, name, rates[question])
    }
    if (this.#isDue('keys', calmKeysMs, now)) void this.#lookout.readKeys(false)
  }

  #askIfDue(question: Question, name: string, everyMs: number): void {
    if (this.#isDue(`${name}/${question}`, everyMs, performance.now())) this.#lookout.ask(question, name)
  }

  /** The first time at a random moment, so that clusters and members are not asked all at once. */
  #isDue(what: string, everyMs: number, now: number): boolean {
    const dueAt = this.#nextAt.get(what) ?? now + Math.random() * everyMs
    const isDue = now >= dueAt
    this.#nextAt.set(what, isDue ? now + everyMs : dueAt)
    return isDue
  }
}

/** An election is under way, or a death is about to be proved. */
function isUrgent(verdict: Verdict, { keys }: Evidence): boolean {
  return (keys.known && keys.leader === null) || verdict.kind === 'releaseLeader' || verdict.kind === 'killLeader'
}
