/**
 * The decision between going on and going back: one key in etcd, the dynamic configuration of the cluster that follows. Going on takes its
 * section `standby_cluster` out, which is what makes Patroni promote; going back leaves a mark beside it. Each compares the revision that
 * was read before, so that only one of them ever happens, whoever asks and however late the call of a controller that was frozen comes.
 */
import type { EtcdClient } from '../../clients/etcd.ts'
import { scopePrefix } from '../../domain/cluster.ts'
import type { ClusterScope } from '../../domain/desired.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { merged, treeOf } from '../mergePatch.ts'

export type DecisionStore = Pick<EtcdClient, 'get' | 'txn'>

export interface Decision {
  /** By what the key says; false: the cluster leads, or is about to. */
  readonly follows: boolean
  readonly configuration: Readonly<Record<string, unknown>>
  readonly modRevision: number
}

/** Patroni knows nothing of it and leaves it alone. */
const markKey = 'holdfast_went_back'
const standbyKey = 'standby_cluster'

/** Errors: those of etcd, and `Conflict` when the cluster has no configuration. */
export async function readDecision(etcd: DecisionStore, installation: string, scope: ClusterScope, signal: AbortSignal): Promise<Decision> {
  const { entry } = await etcd.get(keyOf(installation, scope), signal)
  if (entry === null) throw new HoldfastError('Conflict', 'The cluster that is to take over has no configuration in etcd')
  const configuration = treeOf(entry.value)
  return { follows: configuration[standbyKey] != null, configuration, modRevision: entry.modRevision }
}

/** Null when it had been decided otherwise, or etcd did not say: read it again. */
export async function writeDecision(
  etcd: DecisionStore, installation: string, scope: ClusterScope, decision: Decision, way: 'on' | 'back' | { readonly with: Readonly<Record<string, unknown>> }, signal: AbortSignal,
): Promise<Decision | null> {
  const patch = way === 'on' ? { [standbyKey]: null } : way === 'back' ? { [markKey]: decision.modRevision } : way.with
  const configuration = merged(decision.configuration, patch)
  const key = keyOf(installation, scope)
  const answer = await etcd.txn({ when: [{ key, modRevision: decision.modRevision }], then: [{ kind: 'put', key, value: JSON.stringify(configuration) }] }, signal)
  return answer.outcome === 'held' ? { follows: configuration[standbyKey] != null, configuration, modRevision: answer.revision } : null
}

function keyOf(installation: string, scope: ClusterScope): string {
  return `${scopePrefix(installation, scope)}config`
}
