/**
 * Deletion: asked for here, carried out by the loop, finalizer by finalizer. The rows follow what is gone: ports and
 * members with the volumes, the database itself with its last backup.
 */
import { z } from 'zod'
import { movingKinds, operationKinds, type Finalizer, type OperationKind } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { writeAudit, type Actor } from './actor.ts'
import { changeDatabase, changeWithin, refusePaused, type Changing } from './changeDatabase.ts'
import { databaseView } from './databaseView.ts'
import { finishOperation } from './operations.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { DatabaseView } from './views.ts'

export interface DeletionRequest {
  /** The database's name, typed once more. */
  readonly confirmName: string
  readonly finalBackup: boolean
  readonly keepBackupsDays: number
}

export async function requestDeletion(database: ControlDatabase, databaseId: string, request: DeletionRequest, actor: Actor): Promise<DatabaseView> {
  return changeDatabase(database, databaseId, async (sql, change) => {
    requireConfirmation(change, request)
    refusePaused(change)
    if (!(await removeCopy(sql, databaseId))) throw inProgress('rehearseUpgrade')
    await endOperation(sql, databaseId)
    const { finalBackup, keepBackupsDays } = request
    await sql.run(
      `update databases
          set deletion_requested_at = coalesce(deletion_requested_at, now()), final_backup = $2,
              backups_kept_until = coalesce(deletion_requested_at, now()) + make_interval(days => $3), generation = generation + 1
        where id = $1`,
      [databaseId, finalBackup, keepBackupsDays],
    )
    const facts = { finalBackup, keepBackupsDays }
    await writeAudit(sql, { actor, teamId: change.teamId, action: 'database.delete', target: databaseId, facts })
    const first = finalBackup ? 'after a last backup' : 'without a last backup'
    const message = `The database ${change.name} is deleted ${first}; its backups are kept for ${String(keepBackupsDays)} days.`
    await change.tell({ severity: 'info', reason: 'DeletionRequested', message, facts })
    return databaseView(sql, databaseId)
  })
}

function requireConfirmation({ name }: Changing, { confirmName }: DeletionRequest): void {
  if (confirmName === name) return
  throw new HoldfastError('ConfirmationRequired', 'A deletion has to be confirmed with the name of the database.', { next: `Give confirmName: ${name}.` })
}

const operationRow = z.object({ id: z.string(), kind: z.enum(operationKinds), phase: z.string() })
type Unfinished = z.output<typeof operationRow>

/** What an operation does to this database alone goes with it; a takeover may be half-way between two databases, and clients half-way between two servers. */
async function endOperation(sql: Sql, databaseId: string): Promise<void> {
  const operation = await findUnfinished(sql, databaseId)
  if (operation === undefined) return
  if (isHalfWay(operation)) throw inProgress(operation.kind)
  return finishOperation(sql, databaseId, operation.id, 'cancelled', { message: 'the database is being deleted' })
}

function findUnfinished(sql: Sql, databaseId: string): Promise<Unfinished | undefined> {
  return sql.maybe(operationRow, `select id, kind, phase from operations where database_id = $1 and finished_at is null for no key update`, [databaseId])
}

function isHalfWay(operation: Unfinished): boolean {
  return operation.kind === 'takeOverEndpoint' || (movingKinds.has(operation.kind) && operation.phase === 'movingClients')
}

function inProgress(kind: OperationKind): HoldfastError {
  return new HoldfastError('OperationInProgress', `The operation ${kind} on this database is not finished yet.`, { next: 'Wait until it has ended, then delete.' })
}

/**
 * Of a rehearsal: the copy goes with its backups, whatever it is doing and whoever paused it; not while its clients are between two servers,
 * which takes seconds. Done again, or without a copy, nothing changes. Whether it goes, or is gone.
 */
export async function removeCopy(sql: Sql, databaseId: string): Promise<boolean> {
  const copyId = await findCopy(sql, databaseId)
  if (copyId === undefined) return true
  return changeWithin(sql, copyId, async () => {
    const operation = await findUnfinished(sql, copyId)
    if (operation !== undefined && isHalfWay(operation)) return false
    await sql.run(
      `update databases
          set deletion_requested_at = coalesce(deletion_requested_at, now()), final_backup = false, backups_kept_until = now(), paused = false, generation = generation + 1
        where id = $1 and (deletion_requested_at is null or final_backup or paused or backups_kept_until > now())`,
      [copyId],
    )
    // its event holds up the team's other ones: last
    if (operation !== undefined) await finishOperation(sql, copyId, operation.id, 'cancelled', { message: 'the rehearsal is over' })
    return true
  })
}

const copyRow = z.object({ id: z.string() })

export async function findCopy(sql: Sql, databaseId: string): Promise<string | undefined> {
  return (await sql.maybe(copyRow, `select id from databases where rehearsal_of = $1`, [databaseId]))?.id
}

/** Done again, nothing changes. Two last databases of a project may each have left its networks to the other: the later one is not done yet. */
export async function finishFinalizer(sql: Sql, databaseId: string, finalizer: Finalizer, networksStay = false): Promise<void> {
  if (finalizer === 'volumes' && (await lockProject(sql, databaseId)) && networksStay) return
  const finished = await sql.run(
    `update databases set finalizers = array_remove(finalizers, $2) where id = $1 and deletion_requested_at is not null and $2 = any(finalizers)`,
    [databaseId, finalizer],
  )
  if (finished > 0 && finalizer === 'volumes') await removeFromHosts(sql, databaseId)
}

const lastRow = z.object({ isLast: z.boolean() })

/** Whether no other database of its project is there; that stays so until the end of the transaction. */
async function lockProject(sql: Sql, databaseId: string): Promise<boolean> {
  await sql.run(`select from projects p where p.id = (select project_id from databases where id = $1) for update`, [databaseId])
  const row = await sql.maybe(
    lastRow,
    `select not exists (select from databases other where other.project_id = d.project_id and other.id <> d.id and other.removed_at is null) as "isLast"
       from databases d where d.id = $1`,
    [databaseId],
  )
  return row?.isLast ?? false
}

const ownerRow = z.object({ id: z.string() })

/** Everything but the backups is gone: its ports and its name are free again, and the network with the project's last database. */
async function removeFromHosts(sql: Sql, databaseId: string): Promise<void> {
  await sql.run(`update databases set removed_at = coalesce(removed_at, now()) where id = $1`, [databaseId])
  const owners = await sql.many(
    ownerRow,
    `with gone as (delete from members where instance_id in (select id from instances where database_id = $1) returning id),
       gone_too as (delete from endpoints where database_id = $1 returning id)
     select id from gone union all select id from gone_too`,
    [databaseId],
  )
  await sql.run(`delete from ports where owner_id = any($1::uuid[])`, [owners.map(({ id }) => id)])
  await sql.run(`delete from certificates where database_id = $1`, [databaseId])
  await sql.run(
    `delete from project_networks n using databases d
      where d.id = $1 and n.project_id = d.project_id
        and not exists (select from databases other where other.project_id = d.project_id and other.removed_at is null)`,
    [databaseId],
  )
}

/** The rows themselves, once no finalizer is left, and with them the lease. Backups first: they refer to instances, which go with the database. */
export async function removeIfFinished(sql: Sql, databaseId: string): Promise<void> {
  const finished = await sql.run(`select from databases where id = $1 and finalizers = '{}'`, [databaseId])
  if (finished === 0) return
  await sql.run(`delete from backups where database_id = $1`, [databaseId])
  await sql.run(`delete from databases where id = $1`, [databaseId])
}
