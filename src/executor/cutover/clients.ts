/** The clients of a database while they are moved: held, led to another server, let go. A proxy holds nobody for longer than it was told. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pausePool, resumePool, spareReads } from '../../clients/haproxy/pooling.ts'
import { applyRouting, type RoutingStep } from '../../clients/haproxy/routing.ts'
import type { RuntimeAddress } from '../../clients/haproxy.ts'
import { patroniName } from '../../domain/names.ts'
import type { Places } from './places.ts'

/** As HAProxy calls it; members are called as Patroni calls them. */
export const standaloneServer = 'standalone'
/** For open transactions to end: everybody else waits as long. */
const drainMs = 300
const againMs = 50

/** Readers of the standalone go to the members; those of the pool between two transactions. */
export async function leadReadsToMembers({ proxies }: Places, signal: AbortSignal): Promise<void> {
  await each(proxies, (proxy) => spareReads(proxy, standaloneServer, drainMs, signal))
}

/** New readers go to the standalone, and those of the pool between two transactions. The members keep whom they have: they go on as replicas. */
export async function leadReadsToStandalone({ proxies, cluster }: Places, signal: AbortSignal): Promise<void> {
  await each(proxies, async (proxy) => {
    await applyRouting(proxy, [{ kind: 'setState', backend: 'be_ro', server: standaloneServer, state: 'ready' }], signal)
    for (const { id } of cluster.members) await spareReads(proxy, patroniName(id), drainMs, signal)
  })
}

/** Whoever connects waits, for `forMs` at most, and pooled clients once their transactions have ended. `server`: who serves. Errors: as of `pausePool`. */
export async function hold({ proxies }: Places, server: string, forMs: number, signal: AbortSignal): Promise<void> {
  await each(proxies, (proxy) => applyRouting(proxy, [{ kind: 'hold', server, forMs }], signal))
  await each(proxies, (proxy) => pausePool(proxy, drainMs, signal, forMs))
}

/** To the member that was seen to take writes. Again and again: whoever waits there would wait until the proxy itself lets him go. */
export function leadToMember(places: Places, server: string, signal: AbortSignal): Promise<void> {
  return lead(places, [...stateOf([standaloneServer], 'maint'), { kind: 'setHealth', server, health: 'up' }, ...admitAll(places)], signal)
}

/** To the standalone: the members are no choice any more until the proxy has its next configuration. */
export function leadToStandalone(places: Places, signal: AbortSignal): Promise<void> {
  const members = places.cluster.members.map(({ id }) => patroniName(id))
  const steps: RoutingStep[] = members.map((server) => ({ kind: 'setState', backend: 'be_rw', server, state: 'maint' }))
  return lead(places, [...steps, ...stateOf([standaloneServer], 'ready'), ...admitAll(places)], signal)
}

/** Back to the standalone, which served before: readers may be at the members, who follow. */
export function letGo(places: Places, signal: AbortSignal): Promise<void> {
  return lead(places, [...stateOf([standaloneServer], 'ready'), ...admitAll(places)], signal)
}

function stateOf(servers: readonly string[], state: 'ready' | 'maint'): RoutingStep[] {
  return servers.flatMap((server) => (['be_rw', 'be_ro'] as const).map((backend): RoutingStep => ({ kind: 'setState', backend, server, state })))
}

function admitAll({ cluster }: Places): RoutingStep[] {
  return [standaloneServer, ...cluster.members.map(({ id }) => patroniName(id))].map((server) => ({ kind: 'admit', server }))
}

async function lead({ proxies }: Places, steps: readonly RoutingStep[], signal: AbortSignal): Promise<void> {
  await each(proxies, (proxy) => insisting(() => applyRouting(proxy, steps, signal), signal))
  await each(proxies, (proxy) => insisting(() => resumePool(proxy, signal), signal))
}

async function each(proxies: readonly RuntimeAddress[], work: (proxy: RuntimeAddress) => Promise<unknown>): Promise<void> {
  await Promise.all(proxies.map(work))
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
