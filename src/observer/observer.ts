/**
 * Sees everything that belongs to one database: the engines' inventories, which cost a pass nothing, and answers of
 * servers, kept for as long as they are good. Never decides; a part that cannot be seen is unknown, with the reason.
 */
import type { EngineClient } from '../clients/docker.ts'
import { hostOf, servingInstance, type Desired, type Host } from '../domain/desired.ts'
import { resourceNames, type ResourceNames } from '../domain/names.ts'
import type { ArchiveSeen, ClusterSeen, JobSeen, Observed, PostgresSeen } from '../domain/observed.ts'
import type { Clock, Observer } from '../domain/ports.ts'
import type { Sighting } from '../domain/sighting.ts'
import { Clusters, type ScopeReader } from './clusters.ts'
import { Gate } from './gate.ts'
import { Hosts, type ContainerNews } from './hosts.ts'
import type { WatchedEngine } from './hostWatch.ts'
import { Jobs } from './jobs.ts'
import type { Log } from './log.ts'
import { clustersRun, foundJobs, runningMembers, runningPatronis, runningProxies, type Engines } from './parts.ts'
import { Servers, type IdentityOf, type PatroniReader } from './servers.ts'
import { Store, type StoreSource } from './store.ts'
import type { WatchTiming } from './timing.ts'

export type { ContainerNews } from './hosts.ts'

export type ObservedEngine = WatchedEngine & Pick<EngineClient, 'logs'>

export interface ObserverOptions {
  readonly installation: string
  readonly clock: Clock
  readonly log: Log
  /** Called once a host. */
  readonly engineOf: (host: Host) => ObservedEngine
  readonly identity: IdentityOf
  readonly store: StoreSource
  /** Where clusters keep their keys. */
  readonly etcd: ScopeReader
  readonly readPatroni: PatroniReader
  /** An answer of PostgreSQL is good for this long. */
  readonly freshMs?: number
  readonly timing?: Partial<WatchTiming>
}

export interface LiveObserver extends Observer {
  /** Watches these hosts from now on, so that their events wake before the first pass. Safe to repeat. */
  watch(hosts: readonly Host[]): void
  /** Called with each database of which something changed; returns the end of it. */
  subscribe(onChange: (databaseId: string) => void): () => void
  /** Called with every event of our containers as it comes, before anything is made of it; returns the end of it. */
  containerNews(listener: (news: ContainerNews) => void): () => void
  close(): Promise<void>
}

const defaultFreshMs = 20_000
/** Who leads a cluster changes within a second while something of it is missing or moves. */
const movingFreshMs = 300
const parallelProbes = 16
const sweepMs = 15_000
/** Answers that no pass wanted for this long are of databases that are gone, or left to another controller. */
const unusedMs = 60 * 60_000

export function createObserver(options: ObserverOptions): LiveObserver {
  return new EverythingObserver(options)
}

class EverythingObserver implements LiveObserver {
  readonly #clock: Clock
  readonly #names: ResourceNames
  readonly #hosts: Hosts<ObservedEngine>
  readonly #servers: Servers
  readonly #clusters: Clusters
  readonly #freshMs: number
  readonly #jobs: Jobs
  readonly #store: Store
  /** Keys of answers by database, so that they can be forgotten together. */
  readonly #keys = new Map<string, Set<string>>()
  readonly #sweeper: NodeJS.Timeout

  constructor(options: ObserverOptions) {
    const { clock, identity, freshMs = defaultFreshMs } = options
    const gate = new Gate(parallelProbes)
    this.#clock = clock
    this.#names = resourceNames(options.installation)
    this.#hosts = new Hosts(options)
    this.#servers = new Servers({ clock, gate, identity, readPatroni: options.readPatroni })
    this.#clusters = new Clusters({ installation: options.installation, clock, gate, etcd: options.etcd })
    this.#freshMs = freshMs
    this.#jobs = new Jobs(clock, gate)
    this.#store = new Store(options.store, clock)
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs)
    this.#sweeper.unref()
  }

  watch(hosts: readonly Host[]): void {
    for (const host of hosts) this.#hosts.watch(host)
  }

  subscribe(onChange: (databaseId: string) => void): () => void {
    return this.#hosts.subscribe(onChange)
  }

  containerNews(listener: (news: ContainerNews) => void): () => void {
    return this.#hosts.listen(listener)
  }

  async observe(desired: Desired, signal: AbortSignal): Promise<Observed> {
    const engines = await this.#hosts.seen(desired, signal)
    const archives = this.#archives(desired)
    const freshMs = isCalm(desired) && clustersRun(desired, engines, this.#names) ? this.#freshMs : Math.min(movingFreshMs, this.#freshMs)
    const all = Promise.all([
      this.#members(desired, engines, freshMs),
      this.#each(desired, runningPatronis(desired, engines, this.#names), ({ member }) => member.id, (running) => this.#servers.patroni(desired, running, freshMs)),
      this.#clustersSeen(desired, freshMs),
      this.#each(desired, runningProxies(desired, engines, this.#names), ({ key }) => key, (proxy) => this.#servers.proxy(desired, proxy)),
      this.#jobsSeen(desired, engines),
      this.#store.health(),
    ])
    const [postgres, patroni, clusters, proxies, jobs, objectStore] = await unlessAborted(all, signal)
    return { engines, postgres, patroni, clusters, proxies, archives, jobs, objectStore }
  }

  forget(databaseId: string): void {
    for (const key of this.#keys.get(databaseId) ?? []) {
      this.#servers.forget(key)
      this.#clusters.forget(key)
      this.#jobs.forget(key)
    }
    this.#keys.delete(databaseId)
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#hosts.close()
    this.#servers.close()
  }

  #members(desired: Desired, engines: Engines, freshMs: number): Promise<Map<string, Sighting<PostgresSeen>>> {
    const members = runningMembers(desired, engines, this.#names)
    const areRunning = new Set(members.map(({ member }) => member.id))
    for (const { id } of desired.instances.flatMap((instance) => instance.members)) {
      if (!areRunning.has(id)) this.#servers.closeConnection(id)
    }
    return this.#each(desired, members, ({ member }) => member.id, (member) => this.#servers.member(desired, member, freshMs))
  }

  /** Also of what has no member any more: whether its keys are gone is seen in etcd. */
  #clustersSeen(desired: Desired, freshMs: number): Promise<Map<string, Sighting<ClusterSeen>>> {
    const scopes = desired.instances.flatMap((instance) => (instance.cluster === null ? [] : [{ instance, cluster: instance.cluster }]))
    return this.#each(desired, scopes, ({ instance }) => instance.id, ({ instance, cluster }) => this.#clusters.see(instance, cluster, freshMs))
  }

  #jobsSeen(desired: Desired, engines: Engines): Promise<Map<string, Sighting<JobSeen>>> {
    return this.#each(desired, foundJobs(engines), ({ id }) => id, (job) => this.#jobs.see(job, this.#hosts.engine(hostOf(desired, job.hostId))))
  }

  #archives(desired: Desired): Map<string, Sighting<ArchiveSeen>> {
    const instance = servingInstance(desired)
    if (instance === undefined || instance.initialisedAt === null) return new Map()
    return new Map([[instance.id, this.#store.archive(instance, () => this.#hosts.tell(desired.database.id))]])
  }

  /** Asks about all at once; remembers the keys, so that they can be forgotten. */
  async #each<Part, T>(
    { database }: Desired, parts: readonly Part[], keyOf: (part: Part) => string, see: (part: Part) => Promise<Sighting<T>>,
  ): Promise<Map<string, Sighting<T>>> {
    const keys = this.#keys.get(database.id) ?? new Set()
    this.#keys.set(database.id, keys)
    return new Map(await Promise.all(parts.map(async (part): Promise<[string, Sighting<T>]> => {
      const key = keyOf(part)
      keys.add(key)
      return [key, await see(part)]
    })))
  }

  #sweep(): void {
    const unusedSince = this.#clock.now().getTime() - unusedMs
    this.#hosts.dropUnusedSince(unusedSince)
    this.#servers.sweep(unusedSince)
    this.#clusters.sweep(unusedSince)
    this.#jobs.sweep(unusedSince)
    this.#store.sweep(unusedSince)
    for (const [databaseId] of this.#keys) {
      if (!this.#hosts.isInUse(databaseId)) this.#keys.delete(databaseId)
    }
  }
}

/** Nothing is under way, and the last pass found nothing missing: of a standalone this makes no difference that matters. */
function isCalm({ database, operation, instances }: Desired): boolean {
  if (!instances.some(({ kind }) => kind === 'cluster')) return true
  const isHealthy = database.conditions.some(({ type, status }) => type === 'ReplicationHealthy' && status === 'true')
  return operation === null && database.observedGeneration === database.generation && isHealthy
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
