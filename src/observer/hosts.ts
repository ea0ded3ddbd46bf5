/** All watched hosts, and who is to be told when something of theirs changes. */
import type { EngineEvent } from '../clients/docker.ts'
import type { Desired, Host } from '../domain/desired.ts'
import type { EngineSeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import type { Sighting } from '../domain/sighting.ts'
import type { Affected } from './facts.ts'
import { HostWatch, type WatchedEngine } from './hostWatch.ts'
import type { Log } from './log.ts'
import type { WatchTiming } from './timing.ts'

export interface HostsOptions<Engine extends WatchedEngine> {
  readonly installation: string
  readonly clock: Clock
  readonly log: Log
  readonly engineOf: (host: Host) => Engine
  readonly timing?: Partial<WatchTiming>
}

/** Something happened to a container of ours: the engine's word for it (`die`, `pause`, `start`, `destroy`, …). */
export interface ContainerNews {
  readonly hostId: string
  readonly id: string
  readonly name: string
  readonly action: string
  /** By the engine's own clock. */
  readonly at: Date
}

/** At start a pass waits this long for an engine's first list, rather than to see nothing and come again. */
const firstListMs = 2_000

interface Watched<Engine> {
  readonly address: string
  readonly engine: Engine
  readonly watch: HostWatch
}

export class Hosts<Engine extends WatchedEngine> {
  readonly #options: HostsOptions<Engine>
  readonly #watched = new Map<string, Watched<Engine>>()
  readonly #subscribers = new Set<(databaseId: string) => void>()
  readonly #listeners = new Set<(news: ContainerNews) => void>()
  /** Networks are labelled with their project only, and endpoints change hands; passes tell whose they are. */
  readonly #projects = new Map<string, { readonly projectId: string; readonly endpointId: string | undefined; readonly usedAt: number }>()
  readonly #closing: Promise<void>[] = []

  constructor(options: HostsOptions<Engine>) {
    this.#options = options
  }

  watch(host: Host): Watched<Engine> {
    const kept = this.#watched.get(host.id)
    if (kept?.address === host.engine) return kept
    if (kept !== undefined) this.#closing.push(kept.watch.close())
    const { installation, clock, log, timing, engineOf } = this.#options
    const engine = engineOf(host)
    const onAffected = (affected: Affected): void => this.#spread(affected)
    const onContainer = ({ id, name, action, timeNano }: EngineEvent): void => this.#relay({ hostId: host.id, id, name, action, at: new Date(timeNano / 1e6) })
    const watch = new HostWatch({ engine, installation, clock, log, onAffected, onContainer, ...(timing === undefined ? {} : { timing }) })
    const watched = { address: host.engine, engine, watch }
    this.#watched.set(host.id, watched)
    return watched
  }

  engine(host: Host): Engine {
    return this.watch(host).engine
  }

  async seen({ database, project, endpoint, hosts }: Desired, signal: AbortSignal): Promise<Map<string, Sighting<EngineSeen>>> {
    this.#projects.set(database.id, { projectId: project.id, endpointId: endpoint?.id, usedAt: this.#options.clock.now().getTime() })
    const watches = hosts.map((host) => ({ id: host.id, watch: this.watch(host).watch }))
    await Promise.all(watches.map(({ watch }) => watch.firstAttempt(firstListMs, signal)))
    return new Map(watches.map(({ id, watch }) => [id, watch.seen(database.id, project.id, endpoint?.id)]))
  }

  subscribe(onChange: (databaseId: string) => void): () => void {
    this.#subscribers.add(onChange)
    return () => this.#subscribers.delete(onChange)
  }

  /** What happens to containers of ours, at once: a hint to look, never a fact. */
  listen(listener: (news: ContainerNews) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(databaseId: string): void {
    for (const subscriber of this.#subscribers) subscriber(databaseId)
  }

  isInUse(databaseId: string): boolean {
    return this.#projects.has(databaseId)
  }

  dropUnusedSince(time: number): void {
    for (const [databaseId, { usedAt }] of this.#projects) {
      if (usedAt < time) this.#projects.delete(databaseId)
    }
  }

  async close(): Promise<void> {
    this.#subscribers.clear()
    this.#listeners.clear()
    await Promise.all([...this.#closing, ...[...this.#watched.values()].map(({ watch }) => watch.close())])
    this.#watched.clear()
  }

  #relay(news: ContainerNews): void {
    for (const listener of this.#listeners) listener(news)
  }

  #spread({ databases, projects }: Affected): void {
    const ids = new Set(databases)
    for (const [databaseId, { projectId, endpointId }] of this.#projects) {
      if (projects.has(projectId)) ids.add(databaseId)
      // an endpoint that no pass has named yet wakes nobody: the first pass over its database looks at it anyway
      if (endpointId !== undefined && ids.delete(endpointId)) ids.add(databaseId)
    }
    // things that belong to no database, such as the control database's container, wake nobody
    ids.delete('')
    for (const databaseId of ids) this.tell(databaseId)
  }
}
