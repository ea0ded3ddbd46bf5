/**
 * Watches one engine: a list and an event stream, kept together for as long as the engine answers. While it does not,
 * everything on this host is unknown, never absent. Decides nothing about what it sees.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineClient, EngineEvent } from '../clients/docker.ts'
import { label } from '../domain/names.ts'
import type { EngineSeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import { known, unknown, type Sighting } from '../domain/sighting.ts'
import { reasonOf } from './answers.ts'
import { meaningOf, ownLabels } from './events.ts'
import { EngineFacts, type Affected } from './facts.ts'
import { listEngine } from './listing.ts'
import type { Log } from './log.ts'
import { defaultTiming, type WatchTiming } from './timing.ts'

/** What watching needs of an engine. */
export type WatchedEngine =
  Pick<EngineClient, 'engine' | 'events' | 'listContainers' | 'listVolumes' | 'listNetworks' | 'findVolume' | 'findNetwork'>

export interface WatchOptions {
  readonly engine: WatchedEngine
  readonly installation: string
  readonly clock: Clock
  readonly log: Log
  readonly onAffected: (affected: Affected) => void
  /** Each event of a container of ours, as it comes; after a new connection also some that came before. */
  readonly onContainer?: (event: EngineEvent) => void
  readonly timing?: Partial<WatchTiming>
}

/** The events of before the connection that are asked for: the engine takes up the stream a moment after it says so. */
const replayMs = 2_000

export class HostWatch {
  readonly #options: WatchOptions
  readonly #timing: WatchTiming
  readonly #end = new AbortController()
  readonly #running: Promise<void>
  /** Null while the engine is not watched. */
  #facts: EngineFacts | null = null
  /** Of before the interruption: only to know whom to tell. */
  #before: EngineFacts | null = null
  #reason = 'its engine is being connected to'
  #provenAt = new Date(0)
  #lastTick = 0
  readonly #firstAttempt = new AbortController()

  constructor(options: WatchOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#running = this.#run()
  }

  seen(databaseId: string, projectId: string, endpointId?: string): Sighting<EngineSeen> {
    if (this.#facts === null) return unknown(this.#reason)
    return known(this.#facts.seenOf(databaseId, projectId, endpointId), this.#provenAt)
  }

  /** Until the engine is watched, the first attempt failed, or the limit is over. */
  async firstAttempt(limitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#firstAttempt.signal.aborted) return
    await sleep(limitMs, undefined, { signal: AbortSignal.any([signal, this.#firstAttempt.signal]) }).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#end.abort(new Error('the watch was closed'))
    await this.#running
  }

  async #run(): Promise<void> {
    let pauseMs = this.#timing.retryMs
    while (!this.#end.signal.aborted) {
      const startedAt = performance.now()
      const reason = await this.#session()
      if (this.#end.signal.aborted) break
      this.#lose(reason)
      if (performance.now() - startedAt > this.#timing.longestRetryMs) pauseMs = this.#timing.retryMs
      await sleep(pauseMs, undefined, { signal: this.#end.signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, this.#timing.longestRetryMs)
    }
    this.#firstAttempt.abort()
  }

  /** One connection, from its beginning to its end; the reason of its end. */
  async #session(): Promise<string> {
    const facts = new EngineFacts()
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#end.signal, stop.signal])
    const opened = Promise.withResolvers<undefined>()
    const sinceNano = (this.#options.clock.now().getTime() - replayMs) * 1e6
    const filter = { types: ['container', 'volume', 'network'], sinceNano, onOpen: () => opened.resolve(undefined) } as const
    const stream = this.#options.engine
      .events(filter, (event) => this.#hear(facts, event, signal), signal)
      .then(() => Promise.reject(new Error(`the engine ${this.#options.engine.engine} ended its event stream`)))
    stream.catch(() => undefined)
    try {
      await Promise.race([opened.promise, stream])
      // the stream stands before the list begins, so nothing can fall between them
      await Promise.race([this.#list(facts, signal), stream])
      this.#become(facts)
      return await Promise.race([this.#keepCurrent(facts, signal), stream])
    } catch (error) {
      return reasonOf(error)
    } finally {
      stop.abort(new Error('this session of the watch is over'))
      await stream.catch(() => undefined)
    }
  }

  async #keepCurrent(facts: EngineFacts, signal: AbortSignal): Promise<never> {
    const { confirmMs, heartbeatMs, resyncMs } = this.#timing
    await sleep(confirmMs, undefined, { signal })
    await this.#relist(facts, signal)
    let listedAt = performance.now()
    for (;;) {
      await sleep(heartbeatMs, undefined, { signal })
      if (performance.now() - listedAt >= resyncMs) {
        await this.#relist(facts, signal)
        listedAt = performance.now()
      } else if (this.#options.clock.now().getTime() - this.#provenAt.getTime() >= heartbeatMs) {
        await this.#heartbeat(signal)
      }
    }
  }

  /** The cheapest question that the engine answers from its memory and not from its front door. */
  async #heartbeat(signal: AbortSignal): Promise<void> {
    const { heartbeatTimeoutMs } = this.#timing
    const limit = AbortSignal.timeout(heartbeatTimeoutMs)
    const askedAt = this.#options.clock.now()
    try {
      await this.#options.engine.findVolume(`${this.#options.installation}-host`, AbortSignal.any([signal, limit]))
    } catch (error) {
      if (limit.aborted) throw new Error(`the engine ${this.#options.engine.engine} did not answer within ${heartbeatTimeoutMs} ms`)
      throw error
    }
    this.#provenAt = askedAt
  }

  async #relist(facts: EngineFacts, signal: AbortSignal): Promise<void> {
    const affected = await this.#list(facts, signal)
    const { size } = affected.databases
    if (size > 0) this.#options.log.warn({ engine: this.#options.engine.engine, databases: size }, 'a list showed what no event had told')
    this.#tell(affected)
  }

  async #list(facts: EngineFacts, signal: AbortSignal): Promise<Affected> {
    const { engine, installation, clock } = this.#options
    const startedAt = this.#tick()
    const now = clock.now()
    const listing = await listEngine(engine, installation, now, signal)
    const affected = facts.replace(listing, startedAt)
    this.#provenAt = now
    return affected
  }

  #hear(facts: EngineFacts, event: EngineEvent, signal: AbortSignal): void {
    this.#provenAt = this.#options.clock.now()
    if (event.type === 'container' && event.attributes[label.installation] === this.#options.installation) this.#options.onContainer?.(event)
    const meaning = meaningOf(event, this.#options.installation)
    if (meaning === null) return
    const at = this.#tick()
    if (meaning.kind === 'change') {
      const affected = facts.apply(meaning.change, at)
      if (this.#facts === facts) this.#tell(affected)
    } else if (event.name.startsWith(`${this.#options.installation}-`)) {
      void this.#askAfter(facts, meaning, at, signal)
    }
  }

  /** Learns the labels of a new volume or network. What cannot be learned now, the next list shows. */
  async #askAfter(facts: EngineFacts, { type, id }: { readonly type: 'volume' | 'network'; readonly id: string }, at: number, signal: AbortSignal): Promise<void> {
    const { engine, installation, log } = this.#options
    try {
      const found = type === 'volume' ? await engine.findVolume(id, signal) : await engine.findNetwork(id, signal)
      if (found === null || found.labels[label.installation] !== installation || signal.aborted) return
      const thing = { name: found.name, labels: ownLabels(found.labels) }
      const affected = type === 'volume'
        ? facts.apply({ kind: 'volume', volume: thing }, at)
        : facts.apply({ kind: 'network', network: { id, ...thing } }, at)
      if (this.#facts === facts) this.#tell(affected)
    } catch (error) {
      if (!signal.aborted) log.warn({ engine: engine.engine, [type]: id, reason: reasonOf(error) }, 'a new thing could not be looked at')
    }
  }

  #become(facts: EngineFacts): void {
    const before = this.#before?.owners()
    const now = facts.owners()
    this.#facts = facts
    this.#before = null
    this.#firstAttempt.abort()
    this.#options.log.info({ engine: this.#options.engine.engine, databases: now.databases.size }, 'watching the engine')
    // nobody knows what happened while nobody looked
    this.#tell({
      databases: new Set([...now.databases, ...(before?.databases ?? [])]),
      projects: new Set([...now.projects, ...(before?.projects ?? [])]),
    })
  }

  #lose(reason: string): void {
    this.#reason = reason
    this.#firstAttempt.abort()
    const lost = this.#facts
    if (lost === null) return
    this.#facts = null
    this.#before = lost
    this.#options.log.warn({ engine: this.#options.engine.engine, reason }, 'the engine is not watched any more; connecting again')
    const timer = setTimeout(() => {
      if (this.#before === lost && !this.#end.signal.aborted) this.#tell(lost.owners())
    }, this.#timing.graceMs)
    timer.unref()
  }

  #tell(affected: Affected): void {
    if (affected.databases.size > 0 || affected.projects.size > 0) this.#options.onAffected(affected)
  }

  /** A clock that never stands still, so that of two events one is always the later. */
  #tick(): number {
    this.#lastTick = Math.max(performance.now(), this.#lastTick + 1e-3)
    return this.#lastTick
  }
}
