/**
 * Tells the endpoint's proxies where the leader is, before their own checks find out, and whom to hold meanwhile. Checks go on to correct
 * what is said of a server's health, and whoever is held is let go by itself: nothing outlives a controller that dies by more than
 * seconds. A proxy that cannot be told finds out by itself, so that is a value and never stops anything else.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openRuntime, type RuntimeAddress, type RuntimeConnection } from '../clients/haproxy.ts'
import { pausePool, resumePool, spareReads } from '../clients/haproxy/pooling.ts'
import { applyRouting, leaderGone, leaderIs, leaderStays, type RoutingStep } from '../clients/haproxy/routing.ts'
import { describeError } from '../domain/errors.ts'
import type { WatchedCluster } from './cluster.ts'
import type { GuardWorld } from './ports.ts'

export interface Route {
  /**
   * New clients of it wait, for a few seconds at most; whoever is there stays until it ends, or another one leads. Connections for that
   * next word are made at once, so that no handshake is between a promotion and its clients.
   */
  away(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /** It was not ended after all. */
  back(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /** Only of a member that was seen to take writes. */
  to(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /**
   * Clients of the pool wait from now on, each once its transaction has ended. One that has not within a moment is waited for no longer:
   * it ends with the leader. The proxies themselves end this after some seconds.
   */
  pausePool(signal: AbortSignal): Promise<readonly RouteTold[]>
  resumePool(signal: AbortSignal): Promise<readonly RouteTold[]>
  /** Reads go to the other replicas for some seconds; those of the pool between two transactions, so that none is cut off. */
  readElsewhere(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /** There is nothing more to say for now. */
  rest(): void
}

export interface RouteTold {
  readonly proxy: string
  /** Null when it did as told. */
  readonly failure: string | null
}

const tellMs = 500
/** For open transactions to end: everybody else waits as long. */
const budgetMs = 300
const againMs = 100

export function createRoute(cluster: WatchedCluster, world: Pick<GuardWorld, 'identity'>): Route {
  /** By the place of their proxy. */
  const ready = new Map<string, RuntimeConnection>()
  const rest = (): void => {
    for (const connection of ready.values()) connection.close()
    ready.clear()
  }
  const addressOf = (proxy: WatchedCluster['proxies'][number]): RuntimeAddress => {
    const { certificatePem, keyPem } = world.identity()
    return { ...proxy, ca: cluster.trustBundlePem, cert: certificatePem, key: keyPem, timeoutMs: tellMs }
  }
  const tellOne = async (proxy: WatchedCluster['proxies'][number], steps: readonly RoutingStep[], signal: AbortSignal): Promise<RouteTold> => {
    const where = placeOf(proxy)
    const connection = ready.get(where)
    ready.delete(where)
    try {
      await applyRouting(addressOf(proxy), steps, signal, connection)
      return { proxy: where, failure: null }
    } catch (error) {
      return { proxy: where, failure: describeError(error) }
    }
  }
  const tell = (steps: readonly RoutingStep[], signal: AbortSignal): Promise<readonly RouteTold[]> =>
    Promise.all(cluster.proxies.map((proxy) => tellOne(proxy, steps, signal)))
  const ofPool = (work: (address: RuntimeAddress) => Promise<string | null>): Promise<readonly RouteTold[]> =>
    Promise.all(cluster.proxies.map(async (proxy) => ({ proxy: placeOf(proxy), failure: await work(addressOf(proxy)).catch(describeError) })))
  const makeReady = (): void => {
    rest()
    for (const proxy of cluster.proxies) ready.set(placeOf(proxy), openRuntime(addressOf(proxy)))
  }
  return {
    async away(name, signal) {
      const told = await tell(leaderGone(name), signal)
      if (!signal.aborted) makeReady()
      return told
    },
    back: (name, signal) => tell(leaderStays(name), signal),
    to: (name, signal) => tell(leaderIs(name, cluster.members.map((member) => member.name).filter((other) => other !== name)), signal),
    pausePool: (signal) => ofPool(async (address) => {
      const outcome = await pausePool(address, budgetMs, signal)
      return outcome === 'busy' ? `nobody new gets in, and transactions were still open after ${budgetMs} ms` : null
    }),
    resumePool: (signal) => ofPool((address) => untilResumed(address, signal)),
    readElsewhere: (name, signal) => ofPool(async (address) => {
      const outcome = await spareReads(address, name, budgetMs, signal)
      return outcome === 'busy' ? `transactions were still open there after ${budgetMs} ms` : null
    }),
    rest,
  }
}

/** Again and again: whoever waits there would wait until the proxy itself lets him go. */
async function untilResumed(address: RuntimeAddress, signal: AbortSignal): Promise<null> {
  for (;;) {
    try {
      await resumePool(address, signal)
      return null
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(againMs, undefined, { signal }).catch(() => undefined)
    }
  }
}

function placeOf({ host, port }: WatchedCluster['proxies'][number]): string {
  return `${host}:${port}`
}
