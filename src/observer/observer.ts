/**
 * Sees everything that belongs to one database: the engines' inventories, which cost a pass nothing, and answers of
 * servers, kept for as long as they are good. Never decides; a part that cannot be seen is unknown, with the reason.
 */
import type { EngineClient } from '../clients/docker.ts'
import { hostOf, servingInstance, type Desired, type Host } from '../domain/desired.ts'
import { resourceNames, type ResourceNames } from '../domain/names.ts'
import type { ArchiveSeen, JobSeen, Observed, PostgresSeen } from '../domain/observed.ts'
import type { Clock, Observer } from '../domain/ports.ts'
import type { Sighting } from '../domain/sighting.ts'
import { Gate } from './gate.ts'
import { Hosts } from './hosts.ts'
import type { WatchedEngine } from './hostWatch.ts'
import { Jobs } from './jobs.ts'
import type { Log } from './log.ts'
import { foundJobs, runningMembers, runningProxies, type Engines } from './parts.ts'
import { Servers, type IdentityOf } from './servers.ts'
import { Store, type StoreSource } from './store.ts'
import type { WatchTiming } from './timing.ts'

export type ObservedEngine = WatchedEngine & Pick<EngineClient, 'logs'>

export interface ObserverOptions {
  readonly installation: string
  readonly clock: Clock
  readonly log: Log
  /** Called once a host. */
  readonly engineOf: (host: Host) => ObservedEngine
  readonly identity: IdentityOf
  readonly store: StoreSource
  /** An answer of PostgreSQL is good for this long. */
  readonly freshMs?: number
  readonly timing?: Partial<WatchTiming>
}

export interface LiveObserver extends Observer {
  /** Watches these hosts from now on, so that their events wake before the first pass. Safe to repeat. */
  watch(hosts: readonly Host[]): void
  /** Called with each database of which something changed; returns the end of it. */
  subscribe(onChange: (databaseId: string) => void): () => void
  close(): Promise<void>
}

const defaultFreshMs = 20_000
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
    this.#servers = new Servers({ clock, gate, identity, freshMs })
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

  async observe(desired: Desired, signal: AbortSignal): Promise<Observed> {
    const engines = await this.#hosts.seen(desired, signal)
    const archives = this.#archives(desired)
    const all = Promise.all([
      this.#members(desired, engines),
      this.#each(desired, runningProxies(desired, engines, this.#names), ({ key }) => key, (proxy) => this.#servers.proxy(desired, proxy)),
      this.#jobsSeen(desired, engines),
      this.#store.health(),
    ])
    const [postgres, proxies, jobs, objectStore] = await unlessAborted(all, signal)
    return { engines, postgres, proxies, archives, jobs, objectStore }
  }

  forget(databaseId: string): void {
    for (const key of this.#keys.get(databaseId) ?? []) {
      this.#servers.forget(key)
      this.#jobs.forget(key)
    }
    this.#keys.delete(databaseId)
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#hosts.close()
    this.#servers.close()
  }

  #members(desired: Desired, engines: Engines): Promise<Map<string, Sighting<PostgresSeen>>> {
    const members = runningMembers(desired, engines, this.#names)
    const areRunning = new Set(members.map(({ member }) => member.id))
    for (const { id } of desired.instances.flatMap((instance) => instance.members)) {
      if (!areRunning.has(id)) this.#servers.closeConnection(id)
    }
    return this.#each(desired, members, ({ member }) => member.id, (member) => this.#servers.member(desired, member))
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
    this.#jobs.sweep(unusedSince)
    this.#store.sweep(unusedSince)
    for (const [databaseId] of this.#keys) {
      if (!this.#hosts.isInUse(databaseId)) this.#keys.delete(databaseId)
    }
  }
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
