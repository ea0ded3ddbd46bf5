/** Databases: what is asked for, changed and asked to end. Nothing here touches an engine; the loop is woken and looks. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Backup, Database } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { writeAudit, type Actor } from './actor.ts'
import { backupColumns, backupRow } from './backups.ts'
import { changeDatabase, refuseDeleting, refusePaused } from './changeDatabase.ts'
import { orderOfCluster, type ClusterOrder } from './clusterOperations.ts'
import { createDatabase, createRestored, type NewDatabase, type RestoredDatabase } from './createDatabase.ts'
import { beginOverlap, insertCredential, newPassword, roleName, type IssuedCredential } from './credentials.ts'
import { databaseColumns, databaseShape } from './databaseRow.ts'
import { databaseView } from './databaseView.ts'
import { orderDowngrade } from './downgrade.ts'
import { cancelOperation, orderRollback, orderUpgrade, type MoveOrder, type RollbackOrder, type UpgradeOrder } from './upgrade.ts'
import { requestDeletion, type DeletionRequest } from './deletion.ts'
import { listDatabases, type DatabaseFilter } from './listDatabases.ts'
import { found } from './notFound.ts'
import { patchDatabase, type DatabasePatch } from './patchDatabase.ts'
import { orderRehearsal } from './rehearsal.ts'
import type { Sql } from './sql.ts'
import { startOperation, type OperationRequest } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import type { DatabaseView, OperationView, Page } from './views.ts'

export interface DatabaseStore {
  /** Errors: `NotFound` (project), `NameTaken`, `InvalidRequest`, `TierNotHa`, `HaNotEnabled`, `NoCapacity`, `PortsExhausted`, `NetworksExhausted`. */
  create(request: NewDatabase, actor: Actor): Promise<{ readonly database: DatabaseView; readonly credential: IssuedCredential }>
  /** Also `BackupNotUsable`, `RestorePointOutOfRange`, `StorageCannotShrink`. Role and password are the source's current ones. */
  createRestored(request: RestoredDatabase, actor: Actor): Promise<{ readonly database: DatabaseView; readonly operation: OperationView }>
  /** Throws `NotFound`, as all that take an id do. */
  get(databaseId: string): Promise<Database & { readonly teamId: string; readonly projectId: string }>
  view(databaseId: string): Promise<DatabaseView>
  /** Newest first. Throws `InvalidRequest` for a cursor that no page gave out. */
  list(filter: DatabaseFilter): Promise<Page<DatabaseView>>
  /**
   * Errors: `DatabaseDeleting`, `StorageCannotShrink`, `NameTaken`; of a cluster's tier also `TierNotHa`, `DatabasePaused` and
   * `OperationInProgress`, for it changes by an operation; `NotHighlyAvailable`. Raises the generation if anything changed.
   */
  patch(databaseId: string, patch: DatabasePatch, actor: Actor): Promise<DatabaseView>
  /**
   * Errors: `ConfirmationRequired`, `DatabasePaused`, `OperationInProgress` (a takeover). Any other operation is cancelled. Asked
   * again it changes what is still open: whether a last backup is taken, and how long backups are kept.
   */
  requestDeletion(databaseId: string, request: DeletionRequest, actor: Actor): Promise<DatabaseView>
  /** The new current credential; the old one ends after the overlap. Errors: `DatabaseDeleting`, `Conflict` (too many overlaps). */
  rotateCredential(databaseId: string, overlap: { readonly overlapSeconds: number }, actor: Actor): Promise<IssuedCredential>
  /** `created: false` with the open one when a backup is under way. Errors: `DatabaseDeleting`, `DatabasePaused`, `DatabaseNotReady`. */
  requestBackup(databaseId: string, kind: Backup['kind'], actor: Actor): Promise<{ readonly backup: Backup; readonly created: boolean }>
  /** Begins in the phase `beginning`. Errors: `OperationInProgress`, `DatabaseDeleting`, `DatabasePaused`. */
  startOperation(databaseId: string, operation: OperationRequest, actor: Actor): Promise<OperationView>
  /** An upgrade to a cluster; a dry run only says what stands in its way. Errors: see `orderUpgrade`. */
  orderUpgrade(databaseId: string, order: UpgradeOrder, actor: Actor): Promise<OperationView>
  /** That upgrade, tried on a copy. Errors: see `orderRehearsal`. */
  orderRehearsal(databaseId: string, order: MoveOrder, actor: Actor): Promise<OperationView>
  /** Back to the server that follows since the upgrade; a dry run only says what stands in its way. Errors: see `orderRollback`. */
  orderRollback(databaseId: string, order: RollbackOrder, actor: Actor): Promise<OperationView>
  /** To one server, which is made anew where none follows; a dry run only says what stands in its way. Errors: see `orderDowngrade`. */
  orderDowngrade(databaseId: string, order: UpgradeOrder, actor: Actor): Promise<OperationView>
  /** Errors: see `cancelOperation`. */
  cancelOperation(operationId: string, actor: Actor): Promise<OperationView>
  /** Errors: as of `startOperation`; `NotHighlyAvailable`, `DatabaseNotReady`, `MemberIsLeader`, and `InvalidRequest` for a member that it does not have. */
  orderOfCluster(databaseId: string, order: ClusterOrder, actor: Actor): Promise<OperationView>
}

export function databaseStore(database: ControlDatabase, keyring: Keyring): DatabaseStore {
  return {
    create: (request, actor) => createDatabase(database, keyring, request, actor),
    createRestored: (request, actor) => createRestored(database, keyring, request, actor),
    get: (databaseId) => getDatabase(database, databaseId),
    view: (databaseId) => databaseView(database, databaseId),
    list: (filter) => listDatabases(database, filter),
    patch: (databaseId, patch, actor) => patchDatabase(database, databaseId, patch, actor),
    requestDeletion: (databaseId, request, actor) => requestDeletion(database, databaseId, request, actor),
    rotateCredential: (databaseId, { overlapSeconds }, actor) => rotateCredential(database, keyring, databaseId, overlapSeconds, actor),
    requestBackup: (databaseId, kind, actor) => requestBackup(database, databaseId, kind, actor),
    startOperation: (databaseId, operation, actor) => startOperation(database, databaseId, operation, actor),
    orderUpgrade: (databaseId, order, actor) => orderUpgrade(database, keyring, databaseId, order, actor),
    orderRehearsal: (databaseId, order, actor) => orderRehearsal(database, databaseId, order, actor),
    orderRollback: (databaseId, order, actor) => orderRollback(database, databaseId, order, actor),
    orderDowngrade: (databaseId, order, actor) => orderDowngrade(database, keyring, databaseId, order, actor),
    cancelOperation: (operationId, actor) => cancelOperation(database, operationId, actor),
    orderOfCluster: (databaseId, order, actor) => orderOfCluster(database, databaseId, order, actor),
  }
}

const ownedRow = z.object({ ...databaseShape, teamId: z.string(), projectId: z.string() })

async function getDatabase(sql: Sql, databaseId: string): Promise<z.output<typeof ownedRow>> {
  const row = await sql.maybe(
    ownedRow,
    `select ${databaseColumns}, p.id as "projectId", p.team_id as "teamId"
       from databases d join projects p on p.id = d.project_id where d.id = $1`,
    [databaseId],
  )
  return found(row, 'database', databaseId)
}

async function rotateCredential(database: ControlDatabase, keyring: Keyring, databaseId: string, overlapSeconds: number, actor: Actor): Promise<IssuedCredential> {
  const password = await newPassword()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    const credential = { ...password, roleName: roleName(change.databaseName, await beginOverlap(sql, databaseId, overlapSeconds)) }
    await insertCredential(sql, keyring, databaseId, credential)
    await change.raiseGeneration()
    const facts = { roleName: credential.roleName, overlapSeconds }
    await writeAudit(sql, { actor, teamId: change.teamId, action: 'credential.rotate', target: databaseId, facts })
    await change.tell({ severity: 'info', reason: 'CredentialRotated', message: `The role ${credential.roleName} is current; the one before ends in ${String(overlapSeconds)} s.`, facts })
    return { id: credential.id, roleName: credential.roleName, password: credential.password }
  })
}

const servingRow = z.object({ instanceId: z.string() })

async function requestBackup(database: ControlDatabase, databaseId: string, kind: Backup['kind'], actor: Actor): Promise<{ backup: Backup; created: boolean }> {
  const id = randomUUID()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refusePaused(change)
    // until the last backup is in, a person may have to ask for another one
    if (!change.finalizers.includes('finalBackup')) refuseDeleting(change)
    const serving = await sql.maybe(
      servingRow,
      `select id as "instanceId" from instances where database_id = $1 and role = 'serving' and initialised_at is not null`,
      [databaseId],
    )
    if (serving === undefined) throw new HoldfastError('DatabaseNotReady', 'There is nothing to back up yet.', { next: 'Wait until the database is Ready.' })
    const inserted = await sql.run(
      `insert into backups (id, database_id, instance_id, kind, trigger) values ($1, $2, $3, $4, 'manual')
       on conflict (instance_id) where state in ('requested', 'running', 'verifying') do nothing`,
      [id, databaseId, serving.instanceId, kind],
    )
    const backup = await sql.one(
      backupRow,
      `select ${backupColumns} from backups b where b.instance_id = $1 and b.state in ('requested', 'running', 'verifying')`,
      [serving.instanceId],
    )
    if (inserted === 0) return { backup, created: false }
    await writeAudit(sql, { actor, teamId: change.teamId, action: 'backup.request', target: databaseId, facts: { backupId: id, kind } })
    await change.tell({ severity: 'info', reason: 'BackupRequested', message: `A backup (${kind}) was asked for.`, facts: { backupId: id, kind } })
    return { backup, created: true }
  })
}
