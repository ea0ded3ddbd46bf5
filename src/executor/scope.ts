/**
 * What a cluster has in etcd: its user and role, the keys below its prefix, and the dynamic configuration among them. A mark
 * below the prefix says that the user is there; it is put first, empty, so that no user is ever left behind unseen.
 */
import type { EtcdClient } from '../clients/etcd.ts'
import { scopeMark, scopeMarkKey, scopePrefix } from '../domain/cluster.ts'
import type { Action } from '../domain/action.ts'
import type { ClusterScope, Desired } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { merged, treeOf } from './mergePatch.ts'

export type ScopeStore = Pick<EtcdClient, 'get' | 'put' | 'txn' | 'deletePrefix'> & { readonly auth: Pick<EtcdClient['auth'], 'ensureUser' | 'removeUser'> }

export interface ScopeTools {
  readonly etcd: ScopeStore
  readonly installation: string
}

type PrepareScope = Extract<Action, { readonly kind: 'prepareScope' }>

export async function prepareScope({ etcd, installation }: ScopeTools, { instanceId, configuration }: PrepareScope, desired: Desired, signal: AbortSignal): Promise<void> {
  const scope = scopeOf(desired, instanceId)
  const prefix = scopePrefix(installation, scope)
  await mark(etcd, prefix, '', signal)
  await etcd.auth.ensureUser({ name: scope.user, password: scope.password, prefix }, signal)
  // a member that has to wait for the first leader would otherwise look for it every ten seconds; what is there already stays
  const key = `${prefix}config`
  await etcd.txn({ when: [{ key, createRevision: 0 }], then: [{ kind: 'put', key, value: JSON.stringify(configuration) }] }, signal)
  await mark(etcd, prefix, scopeMark(scope), signal)
}

/** The user first: as long as a key is seen below the prefix the removal is asked for again. */
export async function removeScope({ etcd, installation }: ScopeTools, instanceId: string, desired: Desired, signal: AbortSignal): Promise<void> {
  const scope = scopeOf(desired, instanceId)
  await etcd.auth.removeUser(scope.user, signal)
  await etcd.deletePrefix(scopePrefix(installation, scope), signal)
}

/** As Patroni's own PATCH does it, but without a member that answers. What came in between is looked at by the next pass. */
export async function configureCluster(
  { etcd, installation }: ScopeTools, instanceId: string, patch: Readonly<Record<string, unknown>>, desired: Desired, signal: AbortSignal,
): Promise<void> {
  const key = `${scopePrefix(installation, scopeOf(desired, instanceId))}config`
  const { entry } = await etcd.get(key, signal)
  // Patroni writes the first one itself, when the cluster is made
  if (entry === null) throw new HoldfastError('Conflict', `The cluster ${instanceId} has no configuration in etcd that could be changed`)
  const value = JSON.stringify(merged(treeOf(entry.value), patch))
  await etcd.txn({ when: [{ key, modRevision: entry.modRevision }], then: [{ kind: 'put', key, value }] }, signal)
}

async function mark(etcd: ScopeStore, prefix: string, value: string, signal: AbortSignal): Promise<void> {
  const key = `${prefix}${scopeMarkKey}`
  const written = await etcd.put(key, value, signal)
  if (written.outcome === 'done') return
  throw new HoldfastError('EtcdUnavailable', `etcd did not say whether it has written ${key}: ${written.reason}`)
}

export function scopeOf(desired: Desired, instanceId: string): ClusterScope {
  const cluster = desired.instances.find(({ id }) => id === instanceId)?.cluster
  if (cluster === undefined || cluster === null) throw new Error(`instance ${instanceId} is no cluster of database ${desired.database.id}`)
  return cluster
}
