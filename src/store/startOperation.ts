/** Operations begin here: asked for by name, within the change of the database that they belong to. */
import { randomUUID } from 'node:crypto'
import type { OperationKind } from '../domain/desired.ts'
import { writeAudit, type Actor } from './actor.ts'
import { changeDatabase, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import { getOperation, insertOperation } from './operations.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { OperationView } from './views.ts'

export interface OperationRequest {
  readonly kind: OperationKind
  readonly input: unknown
  /** 1 by default. */
  readonly machineVersion?: number
}

export async function startOperation(database: ControlDatabase, databaseId: string, request: OperationRequest, actor: Actor): Promise<OperationView> {
  const id = randomUUID()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    return beginOperation(sql, change, { ...request, id, databaseId }, actor)
  })
}

/** Last in its transaction, for it tells an event. Error: `OperationInProgress`. */
export async function beginOperation(
  sql: Sql, change: Changing, request: OperationRequest & { readonly id: string; readonly databaseId: string }, actor: Actor,
): Promise<OperationView> {
  const { id: operationId, databaseId, kind } = request
  await insertOperation(sql, request, actor)
  await writeAudit(sql, { actor, teamId: change.teamId, action: 'operation.start', target: databaseId, facts: { operationId, kind } })
  await change.tell({ operationId, severity: 'info', reason: 'OperationRequested', message: `The operation ${kind} was asked for.`, facts: { kind } })
  return getOperation(sql, operationId)
}
