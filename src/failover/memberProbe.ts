/**
 * Asks one member, each kind of question at most once at a time and never longer than its limit, and keeps what came of it.
 * Decides nothing.
 */
import { connectPatroni, type PatroniClient } from '../clients/patroni.ts'
import { connectPostgres, type PostgresConnection } from '../clients/postgres.ts'
import { describeError } from '../domain/errors.ts'
import type { WatchedCluster, WatchedMember } from './cluster.ts'
import type { ContainerEvidence, MemberEvidence, MemberSaid } from './evidence.ts'
import { eventFreshMs, silentMs } from './limits.ts'
import type { ContainerNews, GuardWorld } from './ports.ts'
import { replyIn, takePulse } from './pulse.ts'
import { Silence, type Reply } from './silence.ts'

export type Question = 'patroni' | 'query' | 'connect' | 'container'

/** A healthy member answers in a few milliseconds; one that needs longer is asked again, and believed silent only after several. */
const limitMs: Readonly<Record<Question, number>> = { patroni: 500, query: 300, connect: 1_000, container: 500 }

interface Inspected {
  readonly id: string
  readonly startedAt: string | null
  readonly state: Extract<ContainerEvidence, { known: true }>['state']
  readonly since: number
}

export class MemberProbe {
  readonly member: WatchedMember
  readonly patroni: PatroniClient
  readonly #world: GuardWorld
  readonly #cluster: WatchedCluster
  /** The kept session ended: mostly the first that is heard of a death. */
  readonly #onBroken: () => void
  readonly #silence: Readonly<Record<Exclude<Question, 'container'>, Silence>> = { patroni: new Silence(), query: new Silence(), connect: new Silence() }
  readonly #open = new Map<Question, Promise<void>>()
  readonly #end = new AbortController()
  #session: PostgresConnection | null = null
  #said: { readonly at: number; readonly what: Omit<MemberSaid, 'agoMs'> } | null = null
  #inspected: Inspected | null = null
  /** What was inspected before an event told that this run is over; null once an answer has said the same, or otherwise. */
  #beforeEvent: { readonly inspected: Inspected; readonly heardAt: number } | null = null
  /** Since when the engine has not answered; null while it does. */
  #engineSilent: { readonly since: number; readonly reason: string } | null = { since: performance.now(), reason: 'its engine was not asked yet' }

  constructor(member: WatchedMember, cluster: WatchedCluster, world: GuardWorld, onBroken: () => void) {
    this.member = member
    this.#cluster = cluster
    this.#world = world
    this.#onBroken = onBroken
    this.patroni = connectPatroni({ ...this.#tls(), host: member.address, port: member.ports.patroni }, cluster.login, { timeoutMs: limitMs.patroni })
  }

  /** One that is under way is waited for, not repeated. Never rejects. */
  ask(question: Question): Promise<void> {
    const open = this.#open.get(question)
    if (open !== undefined) return open
    const asked = this.#ask(question).finally(() => this.#open.delete(question))
    this.#open.set(question, asked)
    return asked
  }

  /** By the engine's word, as far as it is known. */
  get hasEnded(): boolean {
    return this.#inspected !== null && this.#inspected.state !== 'running' && this.#inspected.state !== 'paused'
  }

  evidence(now: number): MemberEvidence {
    const { memberId, name } = this.member
    return {
      memberId, name,
      container: this.#containerEvidence(now),
      patroni: this.#silence.patroni.evidence(now),
      query: this.#silence.query.evidence(now),
      connect: this.#silence.connect.evidence(now),
      said: this.#said === null ? null : { agoMs: Math.round(now - this.#said.at), ...this.#said.what },
    }
  }

  /**
   * The engine told that the container has ended: its word, and sooner than it answers who inspects what it still clears away. It
   * is about the run that we know only if that one had begun before, and it stands until an answer to a later question. Where the
   * clocks of engine and controller differ much, the answer has to be waited for.
   */
  heardOfEnd({ id, at }: Pick<ContainerNews, 'id' | 'at'>): void {
    const inspected = this.#inspected
    if (inspected === null || inspected.id !== id || inspected.state !== 'running' || inspected.startedAt === null) return
    if (at.getTime() < Date.parse(inspected.startedAt) || Date.now() - at.getTime() > eventFreshMs) return
    this.#beforeEvent = { inspected, heardAt: performance.now() }
    this.#inspected = { ...inspected, state: 'exited', since: performance.now() }
  }

  /** We slept: silences have to be seen again, and what an event told meanwhile may have been followed by another run. */
  doubt(): void {
    if (this.#beforeEvent !== null) this.#inspected = this.#beforeEvent.inspected
    this.#beforeEvent = null
    for (const silence of Object.values(this.#silence)) silence.doubt()
    if (this.#engineSilent !== null) this.#engineSilent = { ...this.#engineSilent, since: performance.now() }
  }

  close(): void {
    this.#end.abort(new Error('the guard does not watch this member any more'))
    this.#session?.close()
  }

  async #ask(question: Question): Promise<void> {
    switch (question) {
      case 'container':
        return this.#inspect()
      case 'patroni':
        return this.#listen(question, () => this.patroni.liveness(this.#end.signal))
      case 'query':
        return this.#listen(question, (signal) => this.#takePulse(signal))
      case 'connect':
        return this.#listen(question, (signal) => this.#connectOnce(signal))
    }
  }

  async #listen(question: Exclude<Question, 'container'>, ask: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const askedAt = performance.now()
    let reply: Reply = 'answers'
    try {
      await ask(this.#limit(question))
    } catch (error) {
      if (this.#end.signal.aborted) return
      reply = replyIn(error)
    }
    this.#silence[question].heard(reply, askedAt, performance.now())
  }

  async #takePulse(signal: AbortSignal): Promise<void> {
    if (this.#session?.usable !== true) {
      this.#session = await connectPostgres(this.#postgres({ onEnd: this.#onBroken }), signal)
    }
    const what = await takePulse(this.#session, signal)
    this.#said = { at: performance.now(), what }
  }

  async #connectOnce(signal: AbortSignal): Promise<void> {
    const connection = await connectPostgres(this.#postgres({}), signal)
    connection.close()
  }

  /**
   * By the id that was known, and by name: another container of that name is another run, and one that somebody renamed still runs.
   * Gone is only what is found by neither.
   */
  async #inspect(): Promise<void> {
    const askedAt = performance.now()
    const signal = this.#limit('container')
    try {
      const engine = this.#world.engineOf(this.member.hostId)
      const before = this.#inspected
      const known = before === null ? null : await engine.findContainer(before.id, signal)
      const seen = known !== null && (known.state === 'running' || known.state === 'paused') ? known : await engine.findContainer(this.member.containerName, signal) ?? known
      this.#isBack(performance.now())
      // an answer from before the event does not know of it
      if (this.#beforeEvent !== null && askedAt < this.#beforeEvent.heardAt && seen?.state === 'running') return
      this.#beforeEvent = null
      if (seen !== null) this.#keep(seen.id, seen.startedAt?.toISOString() ?? null, seen.state)
      else if (before !== null) this.#keep(before.id, before.startedAt, 'gone')
    } catch (error) {
      if (this.#end.signal.aborted) return
      this.#engineSilent ??= { since: askedAt, reason: describeError(error) }
    }
  }

  /** While its host was away the member was silent with it: whether it is so by itself has to be seen from now on. */
  #isBack(now: number): void {
    if (this.#engineSilent !== null && now - this.#engineSilent.since > silentMs) {
      for (const silence of Object.values(this.#silence)) silence.doubt()
    }
    this.#engineSilent = null
  }

  #keep(id: string, startedAt: string | null, state: Inspected['state']): void {
    const before = this.#inspected
    const isSame = before !== null && before.id === id && before.startedAt === startedAt && before.state === state
    if (!isSame) this.#inspected = { id, startedAt, state, since: performance.now() }
  }

  #containerEvidence(now: number): ContainerEvidence {
    if (this.#engineSilent !== null) return { known: false, reason: this.#engineSilent.reason, forMs: Math.round(now - this.#engineSilent.since) }
    if (this.#inspected === null) return { known: false, reason: 'no such container was ever seen', forMs: 0 }
    const { id, startedAt, state, since } = this.#inspected
    return { known: true, id, startedAt, state, by: this.#beforeEvent === null ? 'answer' : 'event', forMs: Math.round(now - since) }
  }

  #limit(question: Question): AbortSignal {
    return AbortSignal.any([this.#end.signal, AbortSignal.timeout(limitMs[question])])
  }

  #postgres(more: { readonly onEnd?: () => void }): Parameters<typeof connectPostgres>[0] {
    const { address, ports } = this.member
    return {
      ...this.#tls(), ...more, host: address, port: ports.postgres, user: 'postgres', database: 'postgres', applicationName: 'holdfast guard',
      connectTimeoutMs: limitMs.connect, statementTimeoutMs: limitMs.connect,
    }
  }

  #tls(): { readonly serverName: string; readonly ca: string; readonly cert: string; readonly key: ReturnType<GuardWorld['identity']>['keyPem'] } {
    const { certificatePem, keyPem } = this.#world.identity()
    return { serverName: this.member.serverName, ca: this.#cluster.trustBundlePem, cert: certificatePem, key: keyPem }
  }
}
