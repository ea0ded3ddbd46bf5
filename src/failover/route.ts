/**
 * Tells the endpoint's proxies where the leader is, before their own checks find out. Only ever of a server's health, which the checks
 * go on to correct. A proxy that cannot be told finds out by itself, so that is a value and never stops anything else.
 */
import { openRuntime, type RuntimeAddress, type RuntimeConnection } from '../clients/haproxy.ts'
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
  /** There is nothing more to say for now. */
  rest(): void
}

export interface RouteTold {
  readonly proxy: string
  /** Null when it did as told. */
  readonly failure: string | null
}

const tellMs = 500

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
    rest,
  }
}

function placeOf({ host, port }: WatchedCluster['proxies'][number]): string {
  return `${host}:${port}`
}
