/** Taking over an endpoint: addresses and certificates stay together, databases change places behind them. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Lease } from './lease.ts'
import { raiseGeneration } from './changeDatabase.ts'
import type { Sql } from './sql.ts'

/**
 * Each of both databases gets the endpoint of the other. Both generations rise, both are woken. The lease must be held. Nothing happens
 * while the clients of either are being moved: its endpoint holds them, and is told where to lead them.
 */
export async function swapEndpoints(sql: Sql, { databaseId }: Lease, otherDatabaseId: string): Promise<void> {
  const [moving] = await sql.many(z.object({}), `select from operations where database_id in ($1, $2) and phase = 'movingClients' and finished_at is null`, [databaseId, otherDatabaseId])
  if (moving !== undefined) return
  await sql.run(`update work_items set wake_seq = wake_seq + 1, due_at = now() where database_id in ($1, $2)`, [databaseId, otherDatabaseId])
  // one statement for both rows: at no time do two endpoints belong to one database
  const swapped = await sql.run(
    `update endpoints set database_id = case database_id when $1 then $2::uuid else $1::uuid end
      where database_id in ($1::uuid, $2::uuid) and (select count(*) from endpoints where database_id in ($1, $2)) = 2`,
    [databaseId, otherDatabaseId],
  )
  if (swapped !== 2) {
    throw new HoldfastError('Conflict', `Databases ${databaseId} and ${otherDatabaseId} cannot exchange endpoints: one of them has none.`, { next: 'Look at both databases.' })
  }
  await sql.run(
    `update certificates c set database_id = e.database_id from endpoints e where e.id = c.owner_id and e.database_id in ($1, $2)`,
    [databaseId, otherDatabaseId],
  )
  await raiseGeneration(sql, databaseId)
  await raiseGeneration(sql, otherDatabaseId)
}

export async function setExtraCertificateNames(sql: Sql, databaseId: string, names: readonly string[]): Promise<void> {
  await sql.run(
    `update databases set extra_certificate_names = $2, generation = generation + 1 where id = $1 and extra_certificate_names is distinct from $2::text[]`,
    [databaseId, names],
  )
}
