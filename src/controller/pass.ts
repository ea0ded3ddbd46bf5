/**
 * One pass over one database: load → observe → decide → apply → record. What it decided is in `Plan`; what became of
 * it is seen by the next pass. It never retries within itself and keeps nothing in memory.
 */
import type { Action, Plan, StoreRecord } from '../domain/action.ts'
import { mergeConditions, type Condition } from '../domain/conditions.ts'
import type { Desired } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { resourceNames } from '../domain/names.ts'
import { nothing, type PlanInput } from '../domain/part.ts'
import type { Blueprinter, CertificateIssuer, Executor, Observer } from '../domain/ports.ts'
import { machineFor } from '../operations/index.ts'
import type { Decision, Next } from '../operations/machine.ts'
import { plan } from '../planner/plan.ts'
import { initialPhase, type IssuedCertificate, type Lease, type Store } from '../store/store.ts'
import { memberStatuses } from './memberStatus.ts'
import type { MemberStatus } from '../store/views.ts'

export interface PassContext {
  readonly installation: string
  readonly store: Store
  readonly observer: Observer
  readonly executor: Executor
  readonly blueprinter: Blueprinter
  readonly issuer: CertificateIssuer
  /** Counts what was applied; for metrics and logs. */
  readonly onAction: (action: Action, error: unknown, ms: number, lease: Lease) => void
}

export interface PassResult {
  readonly settledGeneration: number | null
  readonly conditions: readonly Condition[]
  readonly members: ReadonlyMap<string, MemberStatus>
  readonly requeueAfterMs: number | null
  readonly actionKinds: readonly Action['kind'][]
  readonly waitingFor: readonly string[]
}

/** Null: the database is not there any more. Throws what an action threw, after the records of the others were written. */
export async function runPass(context: PassContext, lease: Lease, signal: AbortSignal): Promise<PassResult | null> {
  const desired = await context.store.desired.load(lease.databaseId)
  if (desired === null) return null
  const input = await look(context, desired, lease.now, signal)
  const operated = decideOperation(input)
  const decided = plan(input, operated?.part ?? nothing)
  const failure = await applyPlan(context, lease, desired, decided, signal)
  if (operated !== null && failure === null) await advance(context, lease, desired, operated.next)
  if (failure !== null) throw failure
  return {
    settledGeneration: decided.settled && operated === null ? desired.database.generation : null,
    conditions: mergeConditions(desired.database.conditions, decided.conditions, lease.now),
    members: memberStatuses(input),
    requeueAfterMs: operated === null ? decided.requeueAfterMs : Math.min(decided.requeueAfterMs ?? operationLookMs, operationLookMs),
    actionKinds: decided.actions.map((action) => action.kind),
    waitingFor: decided.waitingFor,
  }
}

/** An unfinished operation is looked at this often when nothing wakes it. */
const operationLookMs = 2_000

async function look(context: PassContext, desired: Desired, now: Date, signal: AbortSignal): Promise<PlanInput> {
  const observed = await context.observer.observe(desired, signal)
  const blueprints = context.blueprinter.blueprints(desired)
  return { desired, observed, blueprints, names: resourceNames(context.installation), now }
}

function decideOperation(input: PlanInput): Decision | null {
  const { operation, database } = input.desired
  if (operation === null || database.paused || database.deletionRequestedAt !== null) return null
  const machine = machineFor(operation)
  if (machine === null) return null
  if (operation.phase === initialPhase) {
    const begin: Next = { to: 'enter', phase: machine.firstPhase, because: 'the operation begins' }
    return { part: { ...nothing, requeueAfterMs: 0 }, next: begin }
  }
  return machine.decide({ ...input, operation })
}

/** Applies all actions at once (they were planned to be independent) and writes every record that was earned. */
async function applyPlan(context: PassContext, lease: Lease, desired: Desired, decided: Plan, signal: AbortSignal): Promise<Error | null> {
  const issued = await issueAll(context, decided.records)
  if (decided.records.length > 0) await context.store.records.apply(lease, decided.records, issued)
  const outcomes = await Promise.allSettled(decided.actions.map((action) => applyOne(context, lease, action, desired, signal)))
  const earned = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  if (earned.length > 0) await context.store.records.apply(lease, earned, await issueAll(context, earned))
  // what was just changed must be asked anew, not remembered
  if (decided.actions.length > 0) context.observer.forget(desired.database.id)
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  return failed === undefined ? null : toError(failed.reason)
}

async function applyOne(context: PassContext, lease: Lease, action: Action, desired: Desired, signal: AbortSignal): Promise<readonly StoreRecord[]> {
  const started = performance.now()
  try {
    const { records } = await context.executor.apply(action, desired, signal)
    context.onAction(action, null, performance.now() - started, lease)
    return records
  } catch (error) {
    context.onAction(action, error, performance.now() - started, lease)
    throw error
  }
}

async function issueAll(context: PassContext, records: readonly StoreRecord[]): Promise<IssuedCertificate[]> {
  const wanted = records.filter((record) => record.kind === 'issueCertificate')
  return Promise.all(wanted.map(async ({ purpose, ownerId, ...request }) => ({ purpose, ownerId, keyPair: await context.issuer.issue(request) })))
}

async function advance({ store }: PassContext, lease: Lease, { operation }: Desired, next: Next): Promise<void> {
  if (operation === null) return
  switch (next.to) {
    case 'stay':
      return store.operations.progress(lease, operation.id, { waitingFor: next.waitingFor, ...(next.progress !== undefined && { progress: next.progress }) })
    case 'enter':
      return store.operations.enter(lease, operation.id, next.phase, { because: next.because, waitingFor: null, ...(isNotes(next.notes) && { notes: next.notes }) })
    case 'finish':
      return store.operations.finish(lease, operation.id, next.outcome, { message: next.because, ...(next.failure !== undefined && { failure: next.failure }) })
  }
}

function isNotes(notes: unknown): notes is Readonly<Record<string, unknown>> {
  return typeof notes === 'object' && notes !== null
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new HoldfastError('Internal', String(reason))
}
