/**
 * The decision between going on and going back: one key in etcd, the dynamic configuration of the cluster. Its section `standby_cluster`
 * says whether the cluster follows or leads; a move changes that, going back leaves a mark beside it. Each compares the revision that was
 * read before, so that only one of them ever happens, whoever asks and however late the call of a controller that was frozen comes.
 */
import type { EtcdClient } from '../../clients/etcd.ts'
import { pausedForKey, scopePrefix } from '../../domain/cluster.ts'
import type { ClusterScope } from '../../domain/desired.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { merged, treeOf, type Tree } from '../mergePatch.ts'

export type DecisionStore = Pick<EtcdClient, 'get' | 'txn'>

export interface Decision {
  /** By what the key says: the cluster follows the standalone, and none of its members is promoted. False: it leads, or is about to. */
  readonly follows: boolean
  readonly configuration: Tree
  readonly modRevision: number
}

export const standbyKey = 'standby_cluster'
/** Patroni knows nothing of it and leaves it alone. */
const markKey = 'holdfast_went_back'

/** Nobody is promoted and nothing is started again meanwhile: for this one move, see stop-leader in the image. */
export function pauseFor(operationId: string): Tree {
  return { pause: true, [pausedForKey]: operationId }
}

export const noPause: Tree = { pause: null, [pausedForKey]: null }

/** Of going back; of no effect but that the key is another one. */
export function markOf({ modRevision }: Decision): Tree {
  return { [markKey]: modRevision }
}

/** Errors: those of etcd, and `Conflict` when the cluster has no configuration. */
export async function readDecision(etcd: DecisionStore, installation: string, scope: ClusterScope, signal: AbortSignal): Promise<Decision> {
  const { entry } = await etcd.get(keyOf(installation, scope), signal)
  if (entry === null) throw new HoldfastError('Conflict', 'The cluster has no configuration in etcd')
  return decisionOf(treeOf(entry.value), entry.modRevision)
}

/** Null when it had been decided otherwise, or etcd did not say: read it again. */
export async function writeDecision(
  etcd: DecisionStore, installation: string, scope: ClusterScope, decision: Decision, patch: Tree, signal: AbortSignal,
): Promise<Decision | null> {
  const configuration = merged(decision.configuration, patch)
  const key = keyOf(installation, scope)
  const answer = await etcd.txn({ when: [{ key, modRevision: decision.modRevision }], then: [{ kind: 'put', key, value: JSON.stringify(configuration) }] }, signal)
  return answer.outcome === 'held' ? decisionOf(configuration, answer.revision) : null
}

function decisionOf(configuration: Tree, modRevision: number): Decision {
  return { follows: configuration[standbyKey] != null, configuration, modRevision }
}

function keyOf(installation: string, scope: ClusterScope): string {
  return `${scopePrefix(installation, scope)}config`
}
