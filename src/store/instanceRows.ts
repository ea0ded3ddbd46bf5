/** Inserts an instance with its members and the ports they publish: one server, or a cluster of three. */
import { randomBytes } from 'node:crypto'
import type { Host, InstanceRole } from '../domain/desired.ts'
import type { Keyring } from '../domain/keyring.ts'
import { Secret } from '../domain/secret.ts'
import type { Topology } from '../domain/tiers.ts'
import { reservePort, type PortRange } from './ports.ts'
import { sealContext } from './seal.ts'
import type { Sql } from './sql.ts'

export interface NewInstance {
  readonly id: string
  readonly databaseId: string
  readonly topology: Topology
  readonly role: Extract<InstanceRole, 'serving' | 'restoring' | 'preparing' | 'rollbackTarget'>
}

export interface NewMember {
  readonly id: string
  /** The hosts must be locked. */
  readonly host: Host
}

/** One leader and two synchronous replicas: losing any one of them leaves a copy of every acknowledged write beside the leader's. */
export const memberCounts: Readonly<Record<Topology, number>> = { standalone: 1, ha: 3 }

/** pgBackRest derives its keys from it: 256 random bits. */
const cipherBytes = 32
/** 192 random bits, in characters that need no escaping in YAML or a URL. */
const dcsPasswordBytes = 24

export async function insertInstance(sql: Sql, keyring: Keyring, { id, databaseId, topology, role }: NewInstance): Promise<void> {
  const cipher = keyring.seal(newSecret(cipherBytes), sealContext.repositoryCipher(id))
  const dcsPassword = topology === 'ha' ? keyring.seal(newSecret(dcsPasswordBytes), sealContext.dcsPassword(id)) : null
  await sql.run(
    `insert into instances (id, database_id, kind, role, repository_path, repository_cipher, dcs_password) values ($1, $2, $3, $4, $5, $6, $7)`,
    [id, databaseId, topology === 'ha' ? 'cluster' : 'standalone', role, `/lineages/${id}`, cipher, dcsPassword],
  )
}

/** In the order of their ordinals. */
export async function insertMembers(sql: Sql, { id: instanceId, topology }: NewInstance, members: readonly NewMember[], range: PortRange): Promise<void> {
  for (const [index, { id, host }] of members.entries()) {
    const reserve = (purpose: string): Promise<number> => reservePort(sql, { hostIds: [host.id], range, ownerId: id, purpose })
    const [postgres, backup] = [await reserve('postgres'), await reserve('backup')]
    const patroni = topology === 'ha' ? await reserve('patroni') : null
    await sql.run(
      `insert into members (id, instance_id, host_id, ordinal, postgres_port, backup_port, patroni_port) values ($1, $2, $3, $4, $5, $6, $7)`,
      [id, instanceId, host.id, index + 1, postgres, backup, patroni],
    )
  }
}

function newSecret(bytes: number): Secret {
  return new Secret(randomBytes(bytes).toString('base64url'))
}
