/** The clients of a database while they are moved: held, led to another server, let go. A proxy holds nobody for longer than it was told. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pausePool, resumePool, spareReads } from '../../clients/haproxy/pooling.ts'
import { applyRouting, type RoutingStep } from '../../clients/haproxy/routing.ts'
import type { RuntimeAddress } from '../../clients/haproxy.ts'
import type { Places } from './places.ts'

const standalone = 'standalone'
/** For open transactions to end: everybody else waits as long. */
const drainMs = 300
const againMs = 50

/** Readers go to the members; those of the pool between two transactions. */
export async function leadReadsAway({ proxies }: Places, signal: AbortSignal): Promise<void> {
  await each(proxies, (proxy) => spareReads(proxy, standalone, drainMs, signal))
}

/** Whoever connects waits, for `forMs` at most, and pooled clients once their transactions have ended. Errors: as of `pausePool`. */
export async function hold({ proxies }: Places, forMs: number, signal: AbortSignal): Promise<void> {
  await each(proxies, (proxy) => applyRouting(proxy, [{ kind: 'hold', server: standalone, forMs }], signal))
  await each(proxies, (proxy) => pausePool(proxy, drainMs, signal, forMs))
}

/** To the member that was seen to take writes. Again and again: whoever waits there would wait until the proxy itself lets him go. */
export async function leadTo({ proxies }: Places, server: string, signal: AbortSignal): Promise<void> {
  const steps: readonly RoutingStep[] = [
    { kind: 'setState', backend: 'be_rw', server: standalone, state: 'maint' }, { kind: 'setState', backend: 'be_ro', server: standalone, state: 'maint' },
    { kind: 'setHealth', server, health: 'up' }, { kind: 'admit', server: standalone },
  ]
  await each(proxies, (proxy) => insisting(() => applyRouting(proxy, steps, signal), signal))
  await each(proxies, (proxy) => insisting(() => resumePool(proxy, signal), signal))
}

/** Back to the standalone. */
export async function letGo({ proxies }: Places, signal: AbortSignal): Promise<void> {
  const steps: readonly RoutingStep[] = [
    { kind: 'setState', backend: 'be_rw', server: standalone, state: 'ready' }, { kind: 'setState', backend: 'be_ro', server: standalone, state: 'ready' },
    { kind: 'admit', server: standalone },
  ]
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
