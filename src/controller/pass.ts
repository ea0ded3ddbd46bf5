/**
 * One pass over one database: load → observe → decide → apply → record. What it decided is in `Plan`; what became of
 * it is seen by the next pass. It never retries within itself and keeps nothing in memory.
 */
import type { Action, Plan, StoreRecord } from '../domain/action.ts'
import { claim, mergeConditions, type Condition, type ConditionClaim } from '../domain/conditions.ts'
import type { Desired } from '../domain/desired.ts'
import { describeError, HoldfastError, isHoldfastError } from '../domain/errors.ts'
import { resourceNames } from '../domain/names.ts'
import { nothing, type PlanInput } from '../domain/part.ts'
import type { Blueprinter, CertificateIssuer, Executor, Observer } from '../domain/ports.ts'
import type { Tier, TierName } from '../domain/tiers.ts'
import { machineFor } from '../operations/index.ts'
import type { Decision, Next } from '../operations/machine.ts'
import { plan } from '../planner/plan.ts'
import { initialPhase, type IssuedCertificate, type Lease, type Store } from '../store/store.ts'
import { memberStatuses } from './memberStatus.ts'
import type { MemberStatus } from '../store/views.ts'

/** What a pass needs of the control database. */
export interface PassStore {
  readonly desired: Pick<Store['desired'], 'load'>
  readonly records: Store['records']
  readonly operations: Pick<Store['operations'], 'enter' | 'progress' | 'finish'>
}

export interface PassContext {
  readonly installation: string
  readonly store: PassStore
  readonly observer: Observer
  readonly executor: Executor
  readonly blueprinter: Blueprinter
  readonly issuer: CertificateIssuer
  /** When backups are due: the tier's own schedule, or what the settings put in its place. */
  readonly scheduleOf: (tier: TierName) => Tier['backups']
  /** Counts what was applied; for metrics and logs. */
  readonly onAction: (action: Action, error: unknown, ms: number, lease: Lease) => void
}

export interface PassResult {
  readonly settledGeneration: number | null
  readonly conditions: readonly Condition[]
  readonly members: ReadonlyMap<string, MemberStatus>
  readonly requeueAfterMs: number | null
  readonly actionKinds: readonly Action['kind'][]
  readonly recordKinds: readonly StoreRecord['kind'][]
  readonly waitingFor: readonly string[]
  /** What an action threw, after the others were applied and their records written: what was seen counts all the same. */
  readonly failure: Error | null
}

/** Null: the database is not there any more. Throws when it could not be looked at, or what was decided not be written. */
export async function runPass(context: PassContext, lease: Lease, signal: AbortSignal): Promise<PassResult | null> {
  const desired = await context.store.desired.load(lease.databaseId)
  if (desired === null) return null
  const input = await look(context, desired, lease.now, signal)
  const operated = decideOperation(input)
  const decided = plan(input, operated?.part ?? nothing)
  const failure = await applyPlan(context, lease, desired, decided, signal)
  if (operated !== null && failure === null) await advance(context, lease, desired, operated.next)
  const claims = failure === null ? decided.conditions : [...decided.conditions.filter((one) => one.type !== 'Progressing'), retrying(failure)]
  return {
    settledGeneration: decided.settled && desired.operation === null ? desired.database.generation : null,
    conditions: mergeConditions(desired.database.conditions, claims, lease.now),
    members: memberStatuses(input),
    requeueAfterMs: operated === null ? decided.requeueAfterMs : Math.min(decided.requeueAfterMs ?? operationLookMs, operationLookMs),
    actionKinds: decided.actions.map((action) => action.kind),
    recordKinds: decided.records.map((record) => record.kind),
    waitingFor: decided.waitingFor,
    failure,
  }
}

function retrying(failure: Error): ConditionClaim {
  const { code, next } = isHoldfastError(failure) ? failure : { code: 'Internal', next: undefined }
  const sentences = [describeError(failure), ...(next === undefined ? [] : [next]), 'It is tried again']
  return claim('Progressing', 'true', code, sentences.map((sentence) => `${sentence.replace(/\.$/, '')}.`).join(' '))
}

/** An unfinished operation is looked at this often when nothing wakes it. */
const operationLookMs = 2_000

async function look(context: PassContext, desired: Desired, now: Date, signal: AbortSignal): Promise<PlanInput> {
  const observed = await context.observer.observe(desired, signal)
  const blueprints = context.blueprinter.blueprints(desired)
  return { desired, observed, blueprints, names: resourceNames(context.installation), schedule: context.scheduleOf(desired.database.tier), now }
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
  // what was just changed, or may have been, must be asked anew, not remembered
  if (decided.actions.length > 0) context.observer.forget(desired.database.id)
  const earned = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  if (earned.length > 0) await context.store.records.apply(lease, earned, await issueAll(context, earned))
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [toError(outcome.reason)] : []))
  const lost = failures.find((failure) => isHoldfastError(failure) && failure.code === 'LeaseLost')
  if (lost !== undefined) throw lost
  return failures[0] ?? null
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
