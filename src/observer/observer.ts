/**
 * Sees everything that belongs to one database: the engines' inventories, which cost a pass nothing, and answers of
 * servers, kept for as long as they are good. Never decides; a part that cannot be seen is unknown, with the reason.
 */
import type { EngineClient } from '../clients/docker.ts'
import { readPostgres } from '../clients/postgres.ts'
import { loadedRevision } from '../clients/haproxy.ts'
import { servingInstance, type Desired, type Host } from '../domain/desired.ts'
import { internalName, resourceNames, type ResourceNames } from '../domain/names.ts'
import type { ArchiveSeen, JobSeen, Observed, PostgresSeen, ProxySeen } from '../domain/observed.ts'
import type { Clock, Observer } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import { known, unknown, type Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import { newestWal, seenOf, type NewestWal, type ObjectListing } from './archives.ts'
import { Connections } from './connections.ts'
import { Gate } from './gate.ts'
import { Hosts } from './hosts.ts'
import { progressIn, resultIn } from './jobLines.ts'
import type { Log } from './log.ts'
import { foundJobs, runningMembers, runningProxies, runOf, type Engines, type FoundJob, type RunningMember, type RunningProxy } from './parts.ts'
import type { WatchedEngine, WatchTiming } from './hostWatch.ts'

export type ObservedEngine = WatchedEngine & Pick<EngineClient, 'logs'>

export interface ObserverOptions {
  readonly installation: string
  readonly clock: Clock
  readonly log: Log
  /** Called once a host. */
  readonly engineOf: (host: Host) => ObservedEngine
  /** The controller's client certificate of now, PEM. */
  readonly identity: () => { readonly certificatePem: string; readonly keyPem: Secret }
  readonly store: {
    readonly bucket: string
    readonly listing: ObjectListing
    /** Any cheap call that only a working store answers. */
    readonly check: (signal: AbortSignal) => Promise<unknown>
  }
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
/** A config install forgets what proxies said; this only bounds what another controller may have changed. */
const proxyFreshMs = 5 * 60_000
const jobProgressFreshMs = 500
const archiveFreshMs = 60_000
const storeFreshMs = 15_000
/** A store that is away is not asked more often than this, nor waited for longer. */
const storeRetryMs = 5_000
const storeWaitMs = 1_000
const storeTimeoutMs = 5_000
const connectTimeoutMs = 1_000
const statementTimeoutMs = 3_000
const runtimeTimeoutMs = 1_000
const archiveTimeoutMs = 10_000
const logsTimeoutMs = 5_000
const jobTailLines = 100
const parallelProbes = 16
const parallelListings = 4
const sweepMs = 15_000
/** Answers that no pass wanted for this long are of databases that are gone, or left to another controller. */
const unusedMs = 60 * 60_000

export function createObserver(options: ObserverOptions): LiveObserver {
  return new EverythingObserver(options)
}

class EverythingObserver implements LiveObserver {
  readonly #options: ObserverOptions
  readonly #names: ResourceNames
  readonly #hosts: Hosts<ObservedEngine>
  readonly #connections: Connections
  readonly #probes = new Gate(parallelProbes)
  readonly #listings = new Gate(parallelListings)
  readonly #postgres: Answers<PostgresSeen>
  readonly #proxies: Answers<ProxySeen>
  readonly #jobs: Answers<JobSeen>
  readonly #archives: Answers<ArchiveSeen>
  readonly #store: Answers<true>
  readonly #newest = new Map<string, NewestWal>()
  /** Keys of answers by database, so that they can be forgotten together. */
  readonly #keys = new Map<string, Set<string>>()
  readonly #sweeper: NodeJS.Timeout

  constructor(options: ObserverOptions) {
    const { clock } = options
    this.#options = options
    this.#names = resourceNames(options.installation)
    this.#hosts = new Hosts(options)
    this.#connections = new Connections(clock)
    this.#postgres = new Answers(clock)
    this.#proxies = new Answers(clock)
    this.#jobs = new Answers(clock)
    this.#archives = new Answers(clock)
    this.#store = new Answers(clock)
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
    const archives = this.#seeArchives(desired)
    const all = Promise.all([
      this.#seeMembers(desired, engines),
      this.#seeProxies(desired, engines),
      this.#seeJobs(desired, engines),
      this.#seeStore(),
    ])
    const [postgres, proxies, jobs, objectStore] = await unlessAborted(all, signal)
    return { engines, postgres, proxies, archives, jobs, objectStore }
  }

  forget(databaseId: string): void {
    for (const key of this.#keys.get(databaseId) ?? []) {
      this.#postgres.forget(key)
      this.#proxies.forget(key)
      this.#jobs.forget(key)
    }
    this.#keys.delete(databaseId)
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#hosts.close()
    this.#connections.closeAll()
  }

  async #seeMembers(desired: Desired, engines: Engines): Promise<Map<string, Sighting<PostgresSeen>>> {
    const members = runningMembers(desired, engines, this.#names)
    const isRunning = new Set(members.map(({ member }) => member.id))
    for (const { id } of desired.instances.flatMap((instance) => instance.members)) {
      if (!isRunning.has(id)) this.#connections.close(id)
    }
    const { freshMs = defaultFreshMs } = this.#options
    return this.#each(desired, members, ({ member }) => member.id, (running, key) =>
      this.#postgres.current({ key, subject: runOf(running.container), freshMs, ask: () => this.#probes.pass(() => this.#askMember(desired, running)) }))
  }

  #askMember(desired: Desired, { member, host, container }: RunningMember): Promise<PostgresSeen> {
    const { certificatePem, keyPem } = this.#options.identity()
    const address = {
      host: host.privateAddress,
      port: member.ports.postgres,
      serverName: internalName.member(member.id),
      user: 'postgres',
      database: 'postgres',
      ca: desired.trustBundlePem,
      cert: certificatePem,
      key: keyPem,
      applicationName: 'holdfast observer',
      connectTimeoutMs,
      statementTimeoutMs,
    }
    const subject = `${runOf(container)} ${address.host}:${address.port}`
    return this.#connections.use(member.id, subject, address, (connection) => readPostgres(connection))
  }

  #seeProxies(desired: Desired, engines: Engines): Promise<Map<string, Sighting<ProxySeen>>> {
    return this.#each(desired, runningProxies(desired, engines, this.#names), ({ key }) => key, (running, key) =>
      this.#proxies.current({
        key, subject: runOf(running.container), freshMs: proxyFreshMs, ask: () => this.#probes.pass(() => this.#askProxy(desired, running)),
      }))
  }

  async #askProxy(desired: Desired, { key, proxy, host }: RunningProxy): Promise<ProxySeen> {
    const { certificatePem, keyPem } = this.#options.identity()
    const [endpointId = ''] = key.split('/')
    const configHash = await loadedRevision({
      host: host.privateAddress,
      port: proxy.ports.runtime,
      serverName: internalName.endpoint(endpointId),
      ca: desired.trustBundlePem,
      cert: certificatePem,
      key: keyPem,
      timeoutMs: runtimeTimeoutMs,
    })
    return { configHash }
  }

  #seeJobs(desired: Desired, engines: Engines): Promise<Map<string, Sighting<JobSeen>>> {
    return this.#each(desired, foundJobs(engines), ({ id }) => id, (found, key) => this.#seeJob(desired, found, key))
  }

  async #seeJob(desired: Desired, { hostId, container }: FoundJob, key: string): Promise<Sighting<JobSeen>> {
    const { state } = container
    const hasEnded = state === 'exited' || state === 'dead'
    if (!hasEnded && state !== 'running' && state !== 'paused') {
      return known({ container, progress: null, result: null }, this.#options.clock.now())
    }
    const host = desired.hosts.find((one) => one.id === hostId)
    if (host === undefined) return unknown('its host is not one of this database')
    const ask = async (): Promise<JobSeen> => {
      const output = await this.#hosts.engine(host).logs(container.id, { tail: jobTailLines }, AbortSignal.timeout(logsTimeoutMs))
      return { container, progress: progressIn(output), result: hasEnded ? resultIn(output, container.exitCode) : null }
    }
    const freshMs = hasEnded ? Infinity : jobProgressFreshMs
    return this.#jobs.current({ key, subject: runOf(container), freshMs, ask: () => this.#probes.pass(ask) })
  }

  /** In the background: a pass takes what was found last, and is woken when that has changed. */
  #seeArchives(desired: Desired): Map<string, Sighting<ArchiveSeen>> {
    const instance = servingInstance(desired)
    if (instance === undefined || instance.initialisedAt === null) return new Map()
    const { bucket, listing } = this.#options.store
    const { id, repository } = instance
    const ask = async (): Promise<ArchiveSeen> => {
      const newest = await newestWal(listing, bucket, repository.path, this.#newest.get(id) ?? null, AbortSignal.timeout(archiveTimeoutMs))
      if (newest !== null) this.#newest.set(id, newest)
      return seenOf(newest)
    }
    const question = { key: id, subject: repository.path, freshMs: archiveFreshMs, retryMs: storeRetryMs, ask: () => this.#listings.pass(ask) }
    const seen = this.#archives.latest(question, () => this.#hosts.tell(desired.database.id))
    return new Map([[id, seen ?? unknown('the archive is being looked at for the first time')]])
  }

  async #seeStore(): Promise<Sighting<true>> {
    const { check } = this.#options.store
    const ask = async (): Promise<true> => {
      await check(AbortSignal.timeout(storeTimeoutMs))
      return true
    }
    const answer = this.#store.current({ key: 'store', subject: 'store', freshMs: storeFreshMs, retryMs: storeRetryMs, ask })
    return within(answer, storeWaitMs, unknown(`it did not answer within ${storeWaitMs} ms`))
  }

  /** Asks about all at once; remembers the keys, so that they can be forgotten. */
  async #each<Part, T>(
    { database }: Desired, parts: readonly Part[], keyOf: (part: Part) => string, see: (part: Part, key: string) => Promise<Sighting<T>>,
  ): Promise<Map<string, Sighting<T>>> {
    const keys = this.#keys.get(database.id) ?? new Set()
    this.#keys.set(database.id, keys)
    return new Map(await Promise.all(parts.map(async (part): Promise<[string, Sighting<T>]> => {
      const key = keyOf(part)
      keys.add(key)
      return [key, await see(part, key)]
    })))
  }

  #sweep(): void {
    this.#connections.sweep()
    const since = this.#options.clock.now().getTime() - unusedMs
    this.#hosts.dropUnusedSince(since)
    for (const answers of [this.#postgres, this.#proxies, this.#jobs, this.#archives]) answers.dropUnusedSince(since)
    for (const [databaseId] of this.#keys) {
      if (!this.#hosts.isInUse(databaseId)) this.#keys.delete(databaseId)
    }
    for (const [instanceId] of this.#newest) {
      if (this.#archives.peek(instanceId) === null) this.#newest.delete(instanceId)
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

async function within<T>(work: Promise<T>, limitMs: number, otherwise: T): Promise<T> {
  const late = Promise.withResolvers<T>()
  const timer = setTimeout(() => late.resolve(otherwise), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
