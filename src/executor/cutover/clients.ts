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

/** Connections are opened ahead of time: a handshake with each proxy, twice, is a part of what clients would wait for. */
export class ClientRoutes {
  readonly #places: Places
  readonly #ready = new Map<RuntimeAddress, RuntimeConnection[]>()

  constructor(places: Places) {
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

  /** To the member that was seen to take writes. */
  toMember(server: string, signal: AbortSignal): Promise<void> {
    return this.#lead([...stateOf([standaloneServer], 'maint'), { kind: 'setHealth', server, health: 'up' }, ...admitAll(this.#places)], signal)
  }

  /** To the standalone: the members are no choice any more until the proxy has its next configuration. */
  toStandalone(signal: AbortSignal): Promise<void> {
    const members = this.#places.cluster.members.map(({ id }): RoutingStep => ({ kind: 'setState', backend: 'be_rw', server: patroniName(id), state: 'maint' }))
    return this.#lead([...members, ...stateOf([standaloneServer], 'ready'), ...admitAll(this.#places)], signal)
  }

  /** Back to the standalone, which served before. */
  letGo(signal: AbortSignal): Promise<void> {
    return this.#lead([...stateOf([standaloneServer], 'ready'), ...admitAll(this.#places)], signal)
  }

  /** Again and again: whoever waits there would wait until the proxy itself lets him go. */
  async #lead(steps: readonly RoutingStep[], signal: AbortSignal): Promise<void> {
    await this.#each((proxy) => insisting(() => leadClients(proxy, steps, signal, this.#ready.get(proxy)?.pop()), signal))
  }

  async #each(work: (proxy: RuntimeAddress) => Promise<unknown>): Promise<void> {
    await Promise.all(this.#places.proxies.map(work))
  }
}

function stateOf(servers: readonly string[], state: 'ready' | 'maint'): RoutingStep[] {
  return servers.flatMap((server) => (['be_rw', 'be_ro'] as const).map((backend): RoutingStep => ({ kind: 'setState', backend, server, state })))
}

function admitAll({ cluster }: Places): RoutingStep[] {
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
