/**
 * Gives out ports and networks of hosts. Whoever reserves holds the rows of the hosts until the end of the transaction,
 * so two reservations on one host never see the same port free.
 */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Sql } from './sql.ts'

export interface PortRange {
  readonly from: number
  readonly to: number
}

export interface PortRanges {
  /** Ports that customers connect to, published on the public address. */
  readonly public: PortRange
  /** Ports between our own parts, published on the private address. */
  readonly internal: PortRange
}

/** Where project networks are cut from, such as `10.213.0.0/16` in pieces of `/26`. */
export interface NetworkPool {
  readonly cidr: string
  readonly prefix: number
}

/** In the order of their ids, whatever order they come in: two transactions never wait for each other in a circle. */
export async function lockHosts(sql: Sql, hostIds: readonly string[]): Promise<void> {
  await sql.run(`select from hosts where id = any($1::uuid[]) order by id for no key update`, [[...new Set(hostIds)]])
}

export interface PortRequest {
  /** One number, free on all of them: an address that names both hosts then has the same port on either. */
  readonly hostIds: readonly string[]
  readonly range: PortRange
  readonly ownerId: string
  readonly purpose: string
}

const portRow = z.object({ port: z.number() })

/** The lowest free port. The hosts must be locked. Error: `PortsExhausted`. */
export async function reservePort(sql: Sql, { hostIds, range, ownerId, purpose }: PortRequest): Promise<number> {
  const hosts = [...new Set(hostIds)]
  const [reserved] = await sql.many(
    portRow,
    `with free as (
       select candidate from generate_series($2::int, $3::int) candidate
        where not exists (select from ports p where p.host_id = any($1::uuid[]) and p.port = candidate)
        order by candidate limit 1)
     insert into ports (host_id, port, owner_id, purpose)
     select host_id, candidate, $4::uuid, $5::text from free, unnest($1::uuid[]) host_id
     returning port`,
    [hosts, range.from, range.to, ownerId, purpose],
  )
  if (reserved !== undefined) return reserved.port
  throw new HoldfastError('PortsExhausted', `No port between ${String(range.from)} and ${String(range.to)} is free for a new database.`, {
    next: 'Widen the range of ports in the settings, or delete databases that are not needed.',
    facts: { range, hostIds: hosts },
  })
}

/** The project's network on a host: the one it has, else the lowest free piece of the pool. The host must be locked. Error: `NetworksExhausted`. */
export async function reserveNetwork(sql: Sql, projectId: string, hostId: string, pool: NetworkPool): Promise<void> {
  const reserved = await sql.run(
    `with piece as (
       select set_masklen(host($3::cidr)::inet + number * (1::bigint << (32 - $4::int)), $4::int)::cidr as subnet
         from generate_series(0::bigint, (1::bigint << ($4::int - masklen($3::cidr))) - 1) number
        where not exists (select from project_networks where project_id = $1 and host_id = $2)
        order by number),
     free as (
       select subnet from piece
        where not exists (select from project_networks n where n.host_id = $2 and n.subnet && piece.subnet)
        limit 1)
     insert into project_networks (project_id, host_id, subnet) select $1, $2, subnet from free`,
    [projectId, hostId, pool.cidr, pool.prefix],
  )
  if (reserved > 0) return
  const owned = await sql.run(`select from project_networks where project_id = $1 and host_id = $2`, [projectId, hostId])
  if (owned > 0) return
  throw new HoldfastError('NetworksExhausted', `No network of ${pool.cidr} is free for another project.`, {
    next: 'Give the installation a larger pool of networks, or delete projects’ last databases.',
    facts: { pool, hostId },
  })
}
