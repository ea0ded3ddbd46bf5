/** A second instance of a database: the one that is made beside the serving one, to take its place later. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Keyring } from '../domain/keyring.ts'
import { place } from '../domain/placement.ts'
import { insertInstance, insertMembers, memberCounts, type NewInstance } from './instanceRows.ts'
import { lockHosts, reserveNetwork } from './ports.ts'
import { hostLoads, placed, type Provisioning } from './provision.ts'
import type { Sql } from './sql.ts'

/** Made before the transaction, so that running it again makes the same rows. */
export interface SecondInstance extends NewInstance {
  /** By ordinal. */
  readonly memberIds: readonly string[]
}

export function secondInstance(databaseId: string, { topology, role }: Pick<NewInstance, 'topology' | 'role'>): SecondInstance {
  return { id: randomUUID(), databaseId, topology, role, memberIds: Array.from({ length: memberCounts[topology] }, () => randomUUID()) }
}

/** Error: `NoCapacity`. */
export async function insertSecond(sql: Sql, keyring: Keyring, instance: SecondInstance, { portRanges, networkPool }: Pick<Provisioning, 'portRanges' | 'networkPool'>): Promise<void> {
  const { members } = place(await hostLoads(sql), instance.memberIds.length)
  const { projectId } = await sql.one(z.object({ projectId: z.string() }), `select project_id as "projectId" from databases where id = $1`, [instance.databaseId])
  const hostIds = [...new Set(members.map(({ id }) => id))]
  await lockHosts(sql, hostIds)
  for (const hostId of hostIds) await reserveNetwork(sql, projectId, hostId, networkPool)
  await insertInstance(sql, keyring, instance)
  await insertMembers(sql, instance, placed(instance.memberIds, members), portRanges.internal)
}
