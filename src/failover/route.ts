/**
 * Tells the endpoint's proxies where the leader is, before their own checks find out. Only ever of a server's health, which the checks
 * go on to correct. A proxy that cannot be told finds out by itself, so that is a value and never stops anything else.
 */
import type { RuntimeAddress } from '../clients/haproxy.ts'
import { applyRouting, leaderGone, leaderIs, leaderStays, type RoutingStep } from '../clients/haproxy/routing.ts'
import { describeError } from '../domain/errors.ts'
import type { WatchedCluster } from './cluster.ts'
import type { GuardWorld } from './ports.ts'

export interface Route {
  /** New clients of it wait, for a few seconds at most; whoever is there stays until it ends, or another one leads. */
  away(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /** It was not ended after all. */
  back(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
  /** Only of a member that was seen to take writes. */
  to(name: string, signal: AbortSignal): Promise<readonly RouteTold[]>
}

export interface RouteTold {
  readonly proxy: string
  /** Null when it did as told. */
  readonly failure: string | null
}

const tellMs = 500

export function createRoute(cluster: WatchedCluster, world: Pick<GuardWorld, 'identity'>): Route {
  const tell = (steps: readonly RoutingStep[], signal: AbortSignal): Promise<readonly RouteTold[]> =>
    Promise.all(cluster.proxies.map(async (proxy) => {
      const { certificatePem, keyPem } = world.identity()
      const address: RuntimeAddress = { ...proxy, ca: cluster.trustBundlePem, cert: certificatePem, key: keyPem, timeoutMs: tellMs }
      const where = `${proxy.host}:${proxy.port}`
      try {
        await applyRouting(address, steps, signal)
        return { proxy: where, failure: null }
      } catch (error) {
        return { proxy: where, failure: describeError(error) }
      }
    }))
  return {
    away: (name, signal) => tell(leaderGone(name), signal),
    back: (name, signal) => tell(leaderStays(name), signal),
    to: (name, signal) => tell(leaderIs(name, cluster.members.map((member) => member.name).filter((other) => other !== name)), signal),
  }
}
