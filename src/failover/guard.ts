/**
 * The failover guard: watches every cluster that it is told of, and keeps watching them while the control database is away. It never
 * promotes; several may watch the same cluster, and etcd decides whose transaction holds.
 */
import type { Desired } from '../domain/desired.ts'
import type { FailoverRecorder } from '../domain/failover.ts'
import { unblockAll } from './block.ts'
import { watchedClusters, type WatchedCluster } from './cluster.ts'
import { lateMs } from './limits.ts'
import { createMover, type Mover } from './move.ts'
import type { GuardWorld } from './ports.ts'
import { keepRecordings } from './recorder.ts'
import { describeError } from '../domain/errors.ts'
import { ClusterWatch } from './watch.ts'

export type { ContainerEvents, ContainerNews, GuardEngine, GuardLog, GuardWorld } from './ports.ts'
export type { MoveOrder, MoveOutcome, Mover } from './move.ts'

export interface GuardOptions extends GuardWorld {
  /** Where verdicts are written; whatever it cannot take is kept and told again. */
  readonly recorder: FailoverRecorder
  /** The controller's name. */
  readonly controller: string
  /** False: watches nothing and leaves everything to Patroni's lease; planned moves work all the same. */
  readonly enabled: boolean
}

export interface Guard extends Mover {
  /** What one database wants now: its clusters are watched, those that it has no more (or a pause forbids to touch) are not. Cheap to repeat. */
  update(desired: Desired): void
  /** Databases that are not among these are forgotten. */
  keepOnly(databaseIds: ReadonlySet<string>): void
  /** Instance ids, for metrics. */
  readonly watched: readonly string[]
  /** Verdicts that are not written yet. */
  readonly unwritten: number
  close(): Promise<void>
}

const tickMs = 100
const unblockMs = 10_000

export function startGuard(options: GuardOptions): Guard {
  const recordings = keepRecordings(options.recorder, options.log)
  const watches = new Map<string, { readonly watch: ClusterWatch; readonly identity: string }>()
  const end = new AbortController()
  let lastTick = performance.now()

  const tick = (): void => {
    const now = performance.now()
    const late = now - lastTick - tickMs
    lastTick = now
    for (const { watch } of watches.values()) {
      if (late > lateMs) watch.overslept(now)
      watch.tick(now, Math.max(0, late))
    }
  }
  const timer = setInterval(tick, tickMs)
  const unsubscribe = options.events((news) => {
    for (const { watch } of watches.values()) watch.onContainer(news)
  })
  const mover = createMover({
    world: options, controller: options.controller, recordings, isGuardOn: options.enabled, clusterOf: (instanceId) => known.get(instanceId),
    standBack: (instanceId, ms) => watches.get(instanceId)?.watch.standBack(ms) ?? (() => undefined),
  })
  const known = new Map<string, WatchedCluster>()
  const clusters = (): WatchedCluster[] => [...known.values()]

  const forget = (instanceId: string): void => {
    known.delete(instanceId)
    const held = watches.get(instanceId)
    watches.delete(instanceId)
    if (held !== undefined) void held.watch.close()
  }

  const watchCluster = (cluster: WatchedCluster): void => {
    // another certificate of ours, or of those whom we trust, means new connections
    const identity = JSON.stringify([cluster, options.identity().certificatePem, cluster.login.password.reveal()])
    const held = watches.get(cluster.instanceId)
    if (held?.identity === identity) return
    if (held === undefined && options.enabled) void clearBlocks(cluster, options, end.signal)
    forget(cluster.instanceId)
    known.set(cluster.instanceId, cluster)
    if (options.enabled) watches.set(cluster.instanceId, { identity, watch: new ClusterWatch(cluster, options, recordings, options.controller) })
  }

  return {
    move: (order, signal) => mover.move(order, AbortSignal.any([signal, end.signal])),
    drainReads: (order, signal) => mover.drainReads(order, AbortSignal.any([signal, end.signal])),
    update(desired) {
      const wanted = watchedClusters(desired, options.installation)
      for (const cluster of clusters()) {
        const isGone = cluster.databaseId === desired.database.id && !wanted.some(({ instanceId }) => instanceId === cluster.instanceId)
        if (isGone) forget(cluster.instanceId)
      }
      for (const cluster of wanted) watchCluster(cluster)
    },
    keepOnly(databaseIds) {
      for (const { databaseId, instanceId } of clusters()) if (!databaseIds.has(databaseId)) forget(instanceId)
    },
    get watched() {
      return [...watches.keys()]
    },
    get unwritten() {
      return recordings.waiting
    },
    async close() {
      clearInterval(timer)
      unsubscribe()
      end.abort(new Error('the guard ends'))
      await Promise.all([...watches.values()].map(({ watch }) => watch.close()))
      await recordings.close()
    },
  }
}

/** A guard that died in the middle of the procedure may have left a block, for half a minute at most. Nobody else makes any. */
async function clearBlocks({ members, databaseId }: WatchedCluster, { engineOf, log }: GuardOptions, signal: AbortSignal): Promise<void> {
  await Promise.all(members.map(async ({ hostId, podName }) => {
    try {
      const engine = engineOf(hostId)
      const limit = AbortSignal.any([signal, AbortSignal.timeout(unblockMs)])
      const pod = await engine.findContainer(podName, limit)
      const undone = pod?.state === 'running' ? await unblockAll(engine, podName, limit) : 0
      if (undone > 0) log.warn({ databaseId, pod: podName, undone }, 'took back a block that another guard left')
    } catch (error) {
      log.info({ databaseId, pod: podName, reason: describeError(error) }, 'a pod could not be looked at for blocks; they end by themselves')
    }
  }))
}
