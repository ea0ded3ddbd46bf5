/** The clients of a database while they are moved: held, led to another server, let go. A proxy holds nobody for longer than it was told. */
import { setTimeout as sleep } from 'node:timers/promises'
import { holdClients, leadClients, spareReads } from '../../clients/haproxy/pooling.ts'
import { applyRouting, type RoutingStep } from '../../clients/haproxy/routing.ts'
import { openRuntime, type RuntimeAddress, type RuntimeConnection } from '../../clients/haproxy.ts'
import { patroniName } from '../../domain/names.ts'
import type { Places } from './places.ts'

/** As HAProxy calls it; members are called as Patroni calls them. */
export const standaloneServer = 'standalone'
/** For open transactions to end: everybody else waits as long. */
const drainMs = 300
const againMs = 50
/** Several tries, each with its own limit. */
const stragglerMs = 3_000

/**
 * Proxies that do not answer when another one did. `left`: once it was written down that clients were moved, the next configuration tells them,
 * and nothing is to wait for as long as a host is away. Nothing else would tell them that clients stay where they were.
 */
export type Stragglers = 'awaited' | 'left'

type Routed = Pick<Places, 'cluster' | 'proxies'>

/** Connections are opened ahead of time: a handshake with each proxy, twice, is a part of what clients would wait for. */
export class ClientRoutes {
  readonly #places: Routed
  readonly #ready = new Map<RuntimeAddress, RuntimeConnection[]>()

  constructor(places: Routed) {
    this.#places = places
  }

  /** For holding, and for leading. */
  prepare(): void {
    for (const proxy of this.#places.proxies) this.#ready.set(proxy, [openRuntime(proxy), openRuntime(proxy)])
  }

  end(): void {
    for (const connection of [...this.#ready.values()].flat()) connection.close()
    this.#ready.clear()
  }

  /** Readers of the standalone go to the members; those of the pool between two transactions. */
  async readsToMembers(signal: AbortSignal): Promise<void> {
    await this.#each((proxy) => spareReads(proxy, standaloneServer, drainMs, signal))
  }

  /** New readers go to the standalone, and those of the pool between two transactions. The members keep whom they have: they go on as replicas. */
  async readsToStandalone(signal: AbortSignal): Promise<void> {
    await this.#each(async (proxy) => {
      await applyRouting(proxy, [{ kind: 'setState', backend: 'be_ro', server: standaloneServer, state: 'ready' }], signal)
      for (const { id } of this.#places.cluster.members) await spareReads(proxy, patroniName(id), drainMs, signal)
    })
  }

  /** Whoever connects waits, for `forMs` at most, and pooled clients once their transactions have ended. `server`: who serves. Errors: as of `holdClients`. */
  async hold(server: string, forMs: number, signal: AbortSignal): Promise<void> {
    await this.#each((proxy) => holdClients(proxy, server, drainMs, forMs, signal, this.#ready.get(proxy)?.pop()))
  }

  /** To a member that follows: they can read there, for `forMs` at most. */
  lendMember(server: string, forMs: number, signal: AbortSignal): Promise<void> {
    return this.#lead([{ kind: 'lend', server, forMs }, ...stateOf([standaloneServer], 'maint', ['be_rw']), ...admitAll(this.#places)], signal)
  }

  /** To the member that was seen to take writes. */
  toMember(server: string, signal: AbortSignal, stragglers: Stragglers = 'awaited'): Promise<void> {
    return this.#lead([
      ...stateOf([standaloneServer], 'maint'), ...stateOf(this.#members, 'ready', ['be_rw']), ...this.#returned(server),
      { kind: 'setHealth', server, health: 'up' }, ...admitAll(this.#places),
    ], signal, stragglers)
  }

  /** To the standalone: the members are no choice any more until the proxy has its next configuration. One that follows can be read from. */
  toStandalone(signal: AbortSignal, stragglers: Stragglers = 'awaited'): Promise<void> {
    return this.#lead([...stateOf(this.#members, 'maint', ['be_rw']), ...stateOf([standaloneServer], 'ready'), ...admitAll(this.#places)], signal, stragglers)
  }

  /** Back to the standalone, which served before. */
  letGo(signal: AbortSignal): Promise<void> {
    return this.#lead([...stateOf([standaloneServer], 'ready'), ...this.#returned(null), ...admitAll(this.#places)], signal)
  }

  /** Sessions of a member that is down by that end soon, see end-sessions.lua. */
  #returned(leader: string | null): RoutingStep[] {
    return this.#members.flatMap((server): RoutingStep[] => [{ kind: 'return', server }, ...(server === leader ? [] : [{ kind: 'setHealth', server, health: 'down' } as const])])
  }

  get #members(): readonly string[] {
    return this.#places.cluster.members.map(({ id }) => patroniName(id))
  }

  /** Again and again: whoever waits there would wait until the proxy itself lets him go. */
  async #lead(steps: readonly RoutingStep[], signal: AbortSignal, stragglers: Stragglers = 'awaited'): Promise<void> {
    const over = new AbortController()
    const limit = AbortSignal.any([signal, over.signal])
    const told = this.#places.proxies.map((proxy) => insisting(() => leadClients(proxy, steps, limit, this.#ready.get(proxy)?.pop()), limit))
    try {
      if (stragglers === 'awaited') return void await Promise.all(told)
      await Promise.any(told)
      await Promise.race([Promise.allSettled(told), sleep(stragglerMs, undefined, { signal: limit })])
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error
    } finally {
      over.abort()
    }
  }

  async #each(work: (proxy: RuntimeAddress) => Promise<unknown>): Promise<void> {
    await Promise.all(this.#places.proxies.map(work))
  }
}

function stateOf(servers: readonly string[], state: 'ready' | 'maint', backends: readonly ('be_rw' | 'be_ro')[] = ['be_rw', 'be_ro']): RoutingStep[] {
  return servers.flatMap((server) => backends.map((backend): RoutingStep => ({ kind: 'setState', backend, server, state })))
}

function admitAll({ cluster }: Routed): RoutingStep[] {
  return [standaloneServer, ...cluster.members.map(({ id }) => patroniName(id))].map((server) => ({ kind: 'admit', server }))
}

async function insisting(work: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await work()
      return
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(againMs, undefined, { signal }).catch(() => undefined)
    }
  }
}
