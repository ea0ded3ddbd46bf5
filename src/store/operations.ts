/** Operations: the persisted phases of what needs an order. The phase row is the intent, written before its effect. */
import { z } from 'zod'
import { operationKinds, type OperationKind } from '../domain/desired.ts'
import type { Actor } from './actor.ts'
import { failureRow } from './backups.ts'
import { appendDatabaseEvents } from './events.ts'
import { holdLease, type Lease } from './lease.ts'
import { found } from './notFound.ts'
import { json, time, type Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { Failure, OperationOutcome, OperationView } from './views.ts'

/** Every operation begins in this phase; its machine goes on from here. */
export const initialPhase = 'beginning'

export interface OperationStep {
  /** Null: for nothing. Left out: as before. */
  readonly waitingFor?: string | null
  /** Merged over the notes that are there. */
  readonly notes?: Readonly<Record<string, unknown>>
  readonly progress?: unknown
}

export interface OperationResult {
  readonly message: string
  readonly failure?: Failure
}

export interface OperationStore {
  /** Throws `NotFound`. */
  get(operationId: string): Promise<OperationView>
  /** Newest first, at most 100. */
  list(databaseId: string): Promise<readonly OperationView[]>
  /** Writes the intent of a phase, and an event that says why. A phase may be entered again, for another attempt. */
  enter(lease: Lease, operationId: string, phase: string, step: OperationStep & { readonly because: string }): Promise<void>
  /** Moves `progressedAt` when `progress` changed. */
  progress(lease: Lease, operationId: string, step: OperationStep): Promise<void>
  /** Finished again, nothing changes. */
  finish(lease: Lease, operationId: string, outcome: OperationOutcome, result: OperationResult): Promise<void>
}

const longestList = 100

export const operationRow: z.ZodType<OperationView> = z.object({
  id: z.string(),
  databaseId: z.string(),
  kind: z.enum(operationKinds),
  machineVersion: z.number(),
  phase: z.string(),
  waitingFor: z.string().nullable(),
  input: json,
  notes: json,
  progress: json,
  requestedBy: z.string(),
  createdAt: time,
  phaseEnteredAt: time,
  progressedAt: time,
  finishedAt: time.nullable(),
  outcome: z.enum(['succeeded', 'failed', 'cancelled']).nullable(),
  failure: failureRow.nullable(),
})

export const operationColumns = `
  o.id, o.database_id as "databaseId", o.kind, o.machine_version as "machineVersion", o.phase, o.waiting_for as "waitingFor",
  o.input, o.notes, o.progress, o.requested_by as "requestedBy", o.created_at as "createdAt",
  o.phase_entered_at as "phaseEnteredAt", o.progressed_at as "progressedAt", o.finished_at as "finishedAt", o.outcome, o.failure`

export function operationStore(database: ControlDatabase): OperationStore {
  const withLease = (lease: Lease, work: (sql: Sql) => Promise<void>): Promise<void> =>
    database.transaction(async (sql) => {
      await holdLease(sql, lease)
      await work(sql)
    })
  return {
    get: (operationId) => getOperation(database, operationId),
    list: (databaseId) =>
      database.many(operationRow, `select ${operationColumns} from operations o where o.database_id = $1 order by o.created_at desc limit $2`, [databaseId, longestList]),
    enter: (lease, operationId, phase, step) => withLease(lease, (sql) => enter(sql, lease, operationId, phase, step)),
    progress: (lease, operationId, step) => withLease(lease, (sql) => progress(sql, lease, operationId, step)),
    finish: (lease, operationId, outcome, result) => withLease(lease, (sql) => finishOperation(sql, lease.databaseId, operationId, outcome, result)),
  }
}

export async function getOperation(sql: Sql, operationId: string): Promise<OperationView> {
  return found(await sql.maybe(operationRow, `select ${operationColumns} from operations o where o.id = $1`, [operationId]), 'operation', operationId)
}

export interface NewOperation {
  readonly id: string
  readonly databaseId: string
  readonly kind: OperationKind
  readonly input: unknown
  readonly machineVersion?: number
}

export async function insertOperation(sql: Sql, operation: NewOperation, actor: Actor): Promise<void> {
  const { id, databaseId, kind, input, machineVersion = 1 } = operation
  await sql.run(`insert into operations (id, database_id, kind, machine_version, phase, input, requested_by) values ($1, $2, $3, $4, $5, $6, $7)`, [
    id, databaseId, kind, machineVersion, initialPhase, JSON.stringify(input), actor.name,
  ])
}

const kindRow = z.object({ kind: z.string() })

async function enter(sql: Sql, { databaseId }: Lease, operationId: string, phase: string, step: OperationStep & { readonly because: string }): Promise<void> {
  const entered = await sql.maybe(
    kindRow,
    `update operations
        set phase = $3, waiting_for = $4, notes = notes || coalesce($5::jsonb, '{}'), progress = $6,
            phase_entered_at = now(), progressed_at = now()
      where id = $1 and database_id = $2 and finished_at is null
     returning kind`,
    [operationId, databaseId, phase, step.waitingFor ?? null, toJson(step.notes), toJson(step.progress)],
  )
  const { kind } = found(entered, 'unfinished operation', operationId)
  const message = `The operation ${kind} goes on with ${phase}: ${step.because}.`
  await appendDatabaseEvents(sql, databaseId, [{ operationId, severity: 'info', reason: 'OperationPhaseEntered', message, facts: { kind, phase } }])
}

async function progress(sql: Sql, { databaseId }: Lease, operationId: string, step: OperationStep): Promise<void> {
  await sql.run(
    `update operations
        set waiting_for = case when $3 then $4 else waiting_for end,
            notes = notes || coalesce($5::jsonb, '{}'),
            progress = coalesce($6::jsonb, progress),
            progressed_at = case when $6::jsonb is distinct from progress and $6::jsonb is not null then now() else progressed_at end
      where id = $1 and database_id = $2 and finished_at is null`,
    [operationId, databaseId, step.waitingFor !== undefined, step.waitingFor ?? null, toJson(step.notes), toJson(step.progress)],
  )
}

const reasons = { succeeded: 'OperationSucceeded', failed: 'OperationFailed', cancelled: 'OperationCancelled' } as const

export async function finishOperation(sql: Sql, databaseId: string, operationId: string, outcome: OperationOutcome, { message, failure }: OperationResult): Promise<void> {
  const finished = await sql.maybe(
    kindRow,
    `update operations set finished_at = now(), outcome = $3, failure = $4, waiting_for = null
      where id = $1 and database_id = $2 and finished_at is null
     returning kind`,
    [operationId, databaseId, outcome, toJson(failure)],
  )
  if (finished === undefined) return
  const { kind } = finished
  const severity = outcome === 'failed' ? 'error' : 'info'
  const story = `The operation ${kind} ${outcome === 'cancelled' ? 'was cancelled' : outcome}: ${message}.`
  await appendDatabaseEvents(sql, databaseId, [{ operationId, severity, reason: reasons[outcome], message: story, facts: { kind, ...(failure !== undefined && { failure }) } }])
}

function toJson(value: unknown): string | null {
  return value === undefined || value === null ? null : JSON.stringify(value)
}
