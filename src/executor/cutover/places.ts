/** Whom a cutover is about, and how each of them is reached. Plain look-ups. */
import type { EngineClient } from '../../clients/docker.ts'
import { connectPostgres, type PostgresConnection } from '../../clients/postgres.ts'
import type { RuntimeAddress } from '../../clients/haproxy.ts'
import type { ClusterScope, Desired, Instance, Member } from '../../domain/desired.ts'
import { patroniName, resourceNames } from '../../domain/names.ts'
import { proxiesInUse } from '../../domain/reading.ts'
import { followerConninfo as conninfoFor } from '../../render/serverCopy.ts'
import { addressOf, type PostgresTools } from '../postgres.ts'
import { runtimeAddress } from '../proxies.ts'
import type { DecisionStore } from './decision.ts'

export interface CutoverTools {
  readonly installation: string
  readonly engines: (hostId: string) => EngineClient
  readonly postgres: Pick<PostgresTools, 'identity'>
  readonly etcd: DecisionStore
}

/** One of the two serves and the other follows it. */
export interface Places {
  readonly standalone: Member
  readonly cluster: Instance
  readonly scope: ClusterScope
  readonly proxies: readonly RuntimeAddress[]
  /** Where a member's container is. */
  readonly container: (member: Member) => { readonly engine: EngineClient; readonly name: string }
}

const connectTimeoutMs = 3_000
/** A checkpoint on a busy disk; everything else takes milliseconds. */
const statementTimeoutMs = 60_000
const runtimeMs = 1_000

export function placesOf({ installation, engines, postgres }: CutoverTools, order: { readonly fromId: string; readonly toId: string }, desired: Desired): Places {
  const both = desired.instances.filter(({ id }) => id === order.fromId || id === order.toId)
  const standalone = both.find(({ kind }) => kind === 'standalone')?.members[0]
  const cluster = both.find(({ kind }) => kind === 'cluster')
  const { endpoint } = desired
  if (standalone === undefined || cluster?.cluster == null || endpoint === null) throw new Error(`database ${desired.database.id} has no server and cluster ${order.fromId} and ${order.toId}`)
  return {
    standalone, cluster, scope: cluster.cluster,
    proxies: proxiesInUse(desired, endpoint).map((proxy) => runtimeAddress(postgres, desired, endpoint, proxy, runtimeMs)),
    container: ({ id, hostId }) => ({ engine: engines(hostId), name: resourceNames(installation).member(id) }),
  }
}

export function connectMember({ postgres }: CutoverTools, desired: Desired, member: Member, signal: AbortSignal): Promise<PostgresConnection> {
  return connectPostgres({ ...addressOf(postgres, member, desired), database: 'postgres', applicationName: 'holdfast cutover', connectTimeoutMs, statementTimeoutMs }, signal)
}

/** How a former server finds whoever leads the cluster. */
export function followerConninfo(desired: Desired, { cluster }: Places): string {
  return conninfoFor(desired, cluster)
}

export function memberNamed({ cluster }: Places, name: string): Member | undefined {
  return cluster.members.find(({ id }) => patroniName(id) === name)
}
