/** Whom a cutover is about, and how each of them is reached. Plain look-ups. */
import type { EngineClient } from '../../clients/docker.ts'
import { connectPostgres, type PostgresConnection } from '../../clients/postgres.ts'
import type { RuntimeAddress } from '../../clients/haproxy.ts'
import { hostOf, type ClusterScope, type Desired, type Instance, type Member } from '../../domain/desired.ts'
import { patroniName, resourceNames } from '../../domain/names.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import { proxiesInUse } from '../../domain/reading.ts'
import { addressOf, type PostgresTools } from '../postgres.ts'
import { runtimeAddress } from '../proxies.ts'
import type { DecisionStore } from './decision.ts'

export interface CutoverTools {
  readonly installation: string
  readonly engines: (hostId: string) => EngineClient
  readonly postgres: Pick<PostgresTools, 'identity'>
  readonly etcd: DecisionStore
}

export interface Places {
  /** The standalone that serves. */
  readonly source: Member
  readonly engine: EngineClient
  readonly container: string
  /** The cluster that follows it. */
  readonly target: Instance
  readonly scope: ClusterScope
  readonly proxies: readonly RuntimeAddress[]
}

const connectTimeoutMs = 3_000
/** A checkpoint on a busy disk; everything else takes milliseconds. */
const statementTimeoutMs = 60_000
const runtimeMs = 1_000

export function placesOf({ installation, engines, postgres }: CutoverTools, order: { readonly fromId: string; readonly toId: string }, desired: Desired): Places {
  const [from, to] = [order.fromId, order.toId].map((id) => desired.instances.find((instance) => instance.id === id))
  const [source] = from?.members ?? []
  const { endpoint } = desired
  if (source === undefined || to?.cluster == null || endpoint === null) throw new Error(`database ${desired.database.id} has no instances ${order.fromId} and ${order.toId}`)
  return {
    source, engine: engines(source.hostId), container: resourceNames(installation).member(source.id), target: to, scope: to.cluster,
    proxies: proxiesInUse(desired, endpoint).map((proxy) => runtimeAddress(postgres, desired, endpoint, proxy, runtimeMs)),
  }
}

export function connectMember({ postgres }: CutoverTools, desired: Desired, member: Member, signal: AbortSignal): Promise<PostgresConnection> {
  return connectPostgres({ ...addressOf(postgres, member, desired), database: 'postgres', applicationName: 'holdfast cutover', connectTimeoutMs, statementTimeoutMs }, signal)
}

/** How a former server finds whoever leads the cluster. */
export function followerConninfo(desired: Desired, { target }: Places): string {
  const list = (of: (member: Member) => string | number): string => target.members.map(of).join()
  return [
    `host=${list((member) => hostOf(desired, member.hostId).privateAddress)}`, `port=${list((member) => member.ports.postgres)}`,
    'target_session_attrs=read-write', 'user=holdfast_replicator', 'sslmode=verify-full', 'sslrootcert=/conf/tls/ca.crt', 'sslcert=/conf/tls/server.crt',
    'sslkey=/conf/tls/server.key', 'connect_timeout=3', `application_name=${followerSlotName}`,
  ].join(' ')
}

export function memberNamed({ target }: Places, name: string): Member | undefined {
  return target.members.find(({ id }) => patroniName(id) === name)
}
