/**
 * Inserts everything a new database consists of, in the order in which the rows refer to each other: hosts and networks,
 * the database, its instance with its members, its endpoint with two proxies, a credential, and its place in the queue.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Database, Durability, Host, InstanceRole } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { place, type HostLoad, type Placement } from '../domain/placement.ts'
import { tiers, type TierName, type Topology } from '../domain/tiers.ts'
import { insertCredential, type NewCredential } from './credentials.ts'
import { hostColumns, hostRow } from './hosts.ts'
import { insertInstance, insertMembers, memberCounts, type NewMember } from './instanceRows.ts'
import { lockHosts, reserveNetwork, reservePort, type NetworkPool, type PortRanges } from './ports.ts'
import type { Sql } from './sql.ts'

/** What a new database takes from the installation's settings. */
export interface Provisioning {
  readonly images: Database['images']
  /** The final host name of a database's endpoint. */
  readonly endpointHost: (databaseId: string, name: string) => string
  readonly portRanges: PortRanges
  readonly networkPool: NetworkPool
}

export interface NewRows extends Provisioning {
  readonly ids: NewIds
  readonly projectId: string
  readonly name: string
  readonly databaseName: string
  readonly tier: TierName
  readonly topology: Topology
  readonly durability: Durability
  readonly storageBytes?: number | undefined
  readonly allowList?: readonly string[] | undefined
  readonly role: Extract<InstanceRole, 'serving' | 'restoring'>
  readonly credential: NewCredential
}

/** Made before the transaction, so that running it again makes the same rows. */
export interface NewIds {
  readonly database: string
  readonly instance: string
  /** By ordinal. */
  readonly members: readonly string[]
  readonly endpoint: string
}

export function newIds(topology: Topology): NewIds {
  const members = Array.from({ length: memberCounts[topology] }, () => randomUUID())
  return { database: randomUUID(), instance: randomUUID(), members, endpoint: randomUUID() }
}

export async function insertDatabase(sql: Sql, keyring: Keyring, rows: NewRows): Promise<void> {
  const { ids, topology, role, portRanges } = rows
  const placement = place(await hostLoads(sql), ids.members.length)
  await reserveHosts(sql, rows, placement)
  await insertSpec(sql, rows)
  const instance = { id: ids.instance, databaseId: ids.database, topology, role }
  await insertInstance(sql, keyring, instance)
  await insertMembers(sql, instance, placed(ids.members, placement.members), portRanges.internal)
  await insertEndpoint(sql, rows, placement.proxies)
  await insertCredential(sql, keyring, rows.ids.database, rows.credential)
  await sql.run(`insert into work_items (database_id) values ($1)`, [rows.ids.database])
}

const loadRow: z.ZodType<HostLoad> = z.object({ host: hostRow, members: z.number() })

export async function hostLoads(sql: Sql): Promise<HostLoad[]> {
  return sql.many(
    loadRow,
    `select to_json(host) as host, (select count(*) from members m where m.host_id = host.id)::int as members
       from (select ${hostColumns} from hosts h where h.state = 'active') host`,
  )
}

async function reserveHosts(sql: Sql, { projectId, networkPool }: NewRows, { members, proxies }: Placement): Promise<void> {
  const hostIds = new Set([...members, ...proxies].map(({ id }) => id))
  await lockHosts(sql, [...hostIds])
  for (const hostId of hostIds) await reserveNetwork(sql, projectId, hostId, networkPool)
}

async function insertSpec(sql: Sql, rows: NewRows): Promise<void> {
  const { ids, projectId, name, databaseName, tier, topology, durability, storageBytes = tiers[tier].storageBytes, allowList, images } = rows
  await sql.run(
    `insert into databases (id, project_id, name, database_name, tier, topology, durability, storage_bytes, images, allow_list)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::cidr[], '{0.0.0.0/0,::/0}'))`,
    [ids.database, projectId, name, databaseName, tier, topology, durability, storageBytes, JSON.stringify(images), allowList ?? null],
  )
}

export function placed(ids: readonly string[], hosts: readonly Host[]): NewMember[] {
  return ids.flatMap((id, index) => {
    const host = hosts[index]
    return host === undefined ? [] : [{ id, host }]
  })
}

interface ProxyPorts {
  readonly rw: number
  readonly ro: number
  readonly pooled: number
  readonly runtime: number
}

async function insertEndpoint(sql: Sql, rows: NewRows, [host, otherHost]: Placement['proxies']): Promise<void> {
  const { ids, name, endpointHost } = rows
  await sql.run(`insert into endpoints (id, database_id, host_name) values ($1, $2, $3)`, [ids.endpoint, ids.database, endpointHost(ids.database, name)])
  const shared = await reserveProxyPorts(sql, rows, [host.id, otherHost.id])
  await insertProxy(sql, ids.endpoint, 0, host, shared)
  // on one host the second proxy needs ports of its own
  const others = host.id === otherHost.id ? await reserveProxyPorts(sql, rows, [host.id]) : shared
  await insertProxy(sql, ids.endpoint, 1, otherHost, others)
}

async function reserveProxyPorts(sql: Sql, { ids, portRanges }: NewRows, hostIds: readonly string[]): Promise<ProxyPorts> {
  const reserve = (purpose: string, range = portRanges.public): Promise<number> => reservePort(sql, { hostIds, range, ownerId: ids.endpoint, purpose })
  return { rw: await reserve('rw'), ro: await reserve('ro'), pooled: await reserve('pooled'), runtime: await reserve('runtime', portRanges.internal) }
}

async function insertProxy(sql: Sql, endpointId: string, slot: 0 | 1, host: Host, { rw, ro, pooled, runtime }: ProxyPorts): Promise<void> {
  await sql.run(
    `insert into endpoint_proxies (endpoint_id, slot, host_id, rw_port, ro_port, pooled_port, runtime_port) values ($1, $2, $3, $4, $5, $6, $7)`,
    [endpointId, slot, host.id, rw, ro, pooled, runtime],
  )
}

/** The name inside PostgreSQL, unless one was asked for. Error: `InvalidRequest` where it would mean something else there. */
export function databaseNameFor(name: string, asked: string | undefined): string {
  const databaseName = asked ?? name.replaceAll('-', '_')
  if (!reserved.test(databaseName)) return databaseName
  throw new HoldfastError('InvalidRequest', `The name ${databaseName} has a meaning of its own in PostgreSQL or in Holdfast.`, {
    next: 'Give another databaseName, such as app.',
  })
}

/** As in the schema's own check: keep both alike. */
const reserved = /^(pg_.*|holdfast.*|postgres|template0|template1|pgbouncer|all|sameuser|samerole|samegroup|replication)$/
