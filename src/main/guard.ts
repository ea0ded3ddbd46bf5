/**
 * The failover guard of this controller, and what tells it which clusters there are: every pass of our own, and from time to time
 * the control database, because other controllers' databases are guarded as well. While that is away, what was known is watched.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EtcdClient } from '../clients/etcd.ts'
import type { EngineClient } from '../clients/docker.ts'
import { describeError } from '../domain/errors.ts'
import type { Observer } from '../domain/ports.ts'
import { startGuard, type Guard } from '../failover/guard.ts'
import type { LiveObserver } from '../observer/observer.ts'
import type { Identity } from '../pki/identity.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry.ts'

export interface GuardParts {
  readonly installation: string
  readonly enabled: boolean
  readonly controller: string
  readonly engineOf: (hostId: string) => EngineClient
  readonly observer: Pick<LiveObserver, 'containerNews'>
  readonly etcd: EtcdClient
  readonly identity: Identity
  readonly store: Pick<Store, 'desired' | 'failovers'>
  readonly logger: Logger
}

export interface RunningGuard {
  readonly guard: Guard
  /** An observer whose every look also tells the guard what is desired. */
  telling(observer: Observer): Observer
  stop(): Promise<void>
}

/** A database that another controller made is guarded after this; one of ours with its first pass. */
const relistMs = 5_000

export function openGuard(parts: GuardParts): RunningGuard {
  const { store, logger, etcd, identity } = parts
  const log = logger.child({ room: 'failover' })
  const guard = startGuard({
    installation: parts.installation, enabled: parts.enabled, controller: parts.controller, engineOf: parts.engineOf,
    events: (listener) => parts.observer.containerNews(listener), etcd, identity: identity.current, log, recorder: store.failovers,
  })
  const stopping = new AbortController()
  const listing = relist(store, guard, log, stopping.signal)
  return {
    guard,
    telling: (observer) => ({
      observe: (desired, signal) => {
        guard.update(desired)
        return observer.observe(desired, signal)
      },
      forget: (databaseId) => observer.forget(databaseId),
    }),
    async stop() {
      stopping.abort()
      await listing
      await guard.close()
    },
  }
}

async function relist(store: Pick<Store, 'desired'>, guard: Guard, log: Logger, signal: AbortSignal): Promise<void> {
  let isAway = false
  while (!signal.aborted) {
    try {
      const ids = await store.desired.withClusters()
      for (const id of ids) {
        const desired = await store.desired.load(id)
        if (desired !== null) guard.update(desired)
      }
      guard.keepOnly(new Set(ids))
      isAway = false
    } catch (error) {
      if (!isAway) log.warn({ reason: describeError(error), watched: guard.watched.length }, 'the clusters could not be listed; those that are known are watched')
      isAway = true
    }
    await sleep(relistMs, undefined, { signal }).catch(() => undefined)
  }
}
