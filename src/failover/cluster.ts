/** What the guard has to know of a cluster to watch it: plain data drawn from what is desired, kept while the control database is away. */
import type { PatroniLogin } from '../clients/patroni.ts'
import { scopePrefix } from '../domain/cluster.ts'
import { hostOf, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { internalName, patroniName, resourceNames } from '../domain/names.ts'
import { proxiesInUse } from '../domain/reading.ts'

export interface WatchedMember {
  readonly memberId: string
  /** As Patroni, etcd, `synchronous_standby_names` and HAProxy call it. */
  readonly name: string
  readonly hostId: string
  readonly address: string
  readonly ports: { readonly postgres: number; readonly patroni: number }
  /** The name that its certificate carries. */
  readonly serverName: string
  readonly containerName: string
  /** Owns its network namespace, and holds the block while a host is lost. */
  readonly podName: string
}

export interface WatchedProxy {
  readonly host: string
  readonly port: number
  readonly serverName: string
}

export interface WatchedCluster {
  readonly databaseId: string
  readonly databaseName: string
  readonly instanceId: string
  /** Of its keys in etcd; ends in a slash. */
  readonly prefix: string
  readonly members: readonly WatchedMember[]
  readonly proxies: readonly WatchedProxy[]
  readonly trustBundlePem: string
  readonly login: PatroniLogin
}

/** None of a database that is paused or on its way out: those are observed, never acted on. */
export function watchedClusters(desired: Desired, installation: string): WatchedCluster[] {
  if (desired.database.paused || desired.database.deletionRequestedAt !== null) return []
  return desired.instances.flatMap((instance) => {
    const members = instance.members.flatMap((member) => watchedMember(desired, installation, member))
    const { cluster } = instance
    // nobody leads it for clients: nothing to guard, and looking for a leader all the time would cost
    if (instance.role !== 'serving') return []
    if (cluster === null || members.length !== instance.members.length) return []
    return [{
      databaseId: desired.database.id,
      databaseName: desired.database.name,
      instanceId: instance.id,
      prefix: scopePrefix(installation, cluster),
      members,
      proxies: proxiesOf(desired, instance),
      trustBundlePem: desired.trustBundlePem,
      login: { username: cluster.user, password: cluster.password },
    }]
  })
}

function watchedMember(desired: Desired, installation: string, member: Member): WatchedMember[] {
  const { id, hostId, ports } = member
  if (ports.patroni === null) return []
  const names = resourceNames(installation)
  return [{
    memberId: id,
    name: patroniName(id),
    hostId,
    address: hostOf(desired, hostId).privateAddress,
    ports: { postgres: ports.postgres, patroni: ports.patroni },
    serverName: internalName.member(id),
    containerName: names.member(id),
    podName: names.pod(id),
  }]
}

/** Only the serving instance is behind the endpoint. */
function proxiesOf(desired: Desired, { role }: Instance): WatchedProxy[] {
  const { endpoint } = desired
  if (endpoint === null || role !== 'serving') return []
  return proxiesInUse(desired, endpoint).map(({ hostId, ports }) => ({
    host: hostOf(desired, hostId).privateAddress, port: ports.runtime, serverName: internalName.endpoint(endpoint.id),
  }))
}
