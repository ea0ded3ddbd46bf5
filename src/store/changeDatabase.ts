/**
 * What every change through the API has in common: the database is locked in the same order as a pass locks it (queue
 * first, then the row, the team's event counter last), it is woken, and what happened is told.
 */
import { z } from 'zod'
import { finalizers, type Finalizer } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { tierNames, topologies, type TierName, type Topology } from '../domain/tiers.ts'
import { appendEvents, type NewEvent } from './events.ts'
import { found } from './notFound.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'

export interface Changing {
  readonly teamId: string
  readonly name: string
  readonly databaseName: string
  readonly tier: TierName
  readonly topology: Topology
  readonly storageBytes: number
  readonly isPaused: boolean
  readonly isDeleting: boolean
  readonly finalizers: readonly Finalizer[]
  /** The spec changed: `observedGeneration` will follow once a pass has settled it. */
  raiseGeneration(): Promise<void>
  /** Last: it holds up the team's other events. */
  tell(event: NewEvent): Promise<void>
}

const changingRow = z.object({
  teamId: z.string(),
  name: z.string(),
  databaseName: z.string(),
  tier: z.enum(tierNames),
  topology: z.enum(topologies),
  storageBytes: z.number(),
  isPaused: z.boolean(),
  isDeleting: z.boolean(),
  finalizers: z.array(z.enum(finalizers)),
})

export async function changeDatabase<T>(database: ControlDatabase, databaseId: string, change: (sql: Sql, changing: Changing) => Promise<T>): Promise<T> {
  return database.transaction((sql) => changeWithin(sql, databaseId, change))
}

/** Within a transaction that has told no event yet. */
export async function changeWithin<T>(sql: Sql, databaseId: string, change: (sql: Sql, changing: Changing) => Promise<T>): Promise<T> {
  await sql.run(`update work_items set wake_seq = wake_seq + 1, due_at = now() where database_id = $1`, [databaseId])
  const row = await sql.maybe(
    changingRow,
    `select p.team_id as "teamId", d.name, d.database_name as "databaseName", d.tier, d.topology, d.storage_bytes as "storageBytes",
            d.paused as "isPaused", d.deletion_requested_at is not null as "isDeleting", d.finalizers
       from databases d join projects p on p.id = d.project_id where d.id = $1 for no key update of d`,
    [databaseId],
  )
  const changing = found(row, 'database', databaseId)
  return change(sql, {
    ...changing,
    raiseGeneration: () => raiseGeneration(sql, databaseId),
    tell: async (event) => void (await appendEvents(sql, changing.teamId, [{ databaseId, ...event }])),
  })
}

export async function raiseGeneration(sql: Sql, databaseId: string): Promise<void> {
  await sql.run(`update databases set generation = generation + 1 where id = $1`, [databaseId])
}

export function refuseDeleting({ isDeleting, name }: Changing): void {
  if (isDeleting) throw new HoldfastError('DatabaseDeleting', `The database ${name} is being deleted.`, { next: 'Restore one of its backups as a new database, if it is needed.' })
}

export function refusePaused({ isPaused, name }: Changing): void {
  if (isPaused) throw new HoldfastError('DatabasePaused', `The database ${name} is paused: nothing is done to it.`, { next: 'Set paused to false first.' })
}
