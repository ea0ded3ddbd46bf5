/**
 * rehearseUpgrade: the upgrade of a database, tried on a copy of it. The copy is restored from the newest backup as a database of its own,
 * upgraded by the same machine as any other, and removed with its backups; what that took is told. The database itself is only asked what
 * stands in the way of an upgrade: nothing of it is changed, and nobody waits.
 * Phases: preflight → restoring → awaitingBackup → upgrading → removing. There is no point of no return. Whatever ends it, by way of
 * `removing` nothing of the copy stays.
 */
import { z } from 'zod'
import type { Rehearsal, RehearsedOperation } from '../domain/desired.ts'
import { act, merge, record, waitFor } from '../domain/part.ts'
import { enter, failed, soon, stillForMs, succeeded, unknownPhase, waits } from './clusterMachine.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { findings, surveySchema } from './preflight.ts'
import { measuredSchema, restoreMeasured, summaryOf, upgradeMeasured, type Measured } from './rehearsed.ts'
import { moveInputSchema } from './movingClients.ts'
import { sourceOf } from './upgradeToHa.ts'

const failureSchema = z.object({ code: z.string(), message: z.string(), next: z.string() })
type Failure = z.output<typeof failureSchema>

const endingSchema = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('succeeded') }),
  z.object({ outcome: z.literal('cancelled') }),
  z.object({ outcome: z.literal('failed'), failure: failureSchema }),
])
type Ending = z.output<typeof endingSchema>

const notesSchema = z.object({
  survey: surveySchema.optional(),
  cancelRequested: z.boolean().default(false),
  /** Written with the copy itself: who looks for it and does not find it knows that it was removed. */
  copyId: z.string().optional(),
  upgradeId: z.string().optional(),
  /** Why it could not be made, or upgraded. */
  refused: failureSchema.optional(),
  measured: measuredSchema.default({}),
  ending: endingSchema.optional(),
})
type Notes = z.output<typeof notesSchema>

const lookMs = 1_000
/** Without any progress of what is done to the copy, which has limits of its own, or to the one that nobody does anything to. */
const stallMs = 12 * 60 * 60_000
/** Until the copy's host answers again it is not waited for: it is being deleted, and goes as soon as it can. */
const removalMs = 30 * 60_000

export const rehearseUpgradeMachine: Machine = {
  kind: 'rehearseUpgrade',
  version: 1,
  firstPhase: 'preflight',
  pointOfNoReturn: null,
  decide(input) {
    switch (input.operation.phase) {
      case 'preflight':
        return preflight(input)
      case 'restoring':
        return withCopy(input, restoring)
      case 'awaitingBackup':
        return withCopy(input, awaitingBackup)
      case 'upgrading':
        return withCopy(input, upgrading)
      case 'removing':
        return removing(input)
    }
    return unknownPhase(input)
  },
}

function preflight(input: MachineInput): Decision {
  const { operation } = input
  const { survey, cancelRequested } = notesSchema.parse(operation.notes)
  if (cancelRequested) return cancelled
  const primary = sourceOf(input)
  if (primary === null) return waits('the server to answer', lookMs)
  const looked = 'the server to be looked at'
  if (survey === undefined) return stay(merge([act({ kind: 'surveySource', operationId: operation.id, memberId: primary.member.id, again: false }), waitFor(looked, lookMs)]), looked)
  const found = findings(input, primary, survey)
  if (operation.progress === null) return stay(soon, 'what was found to be written down', { ...found })
  const { blockers } = found
  if (blockers.length > 0) return failed('PreflightFailed', blockers.map(({ message }) => message).join(' '), blockers.map(({ next }) => next).join(' '))
  return enter('restoring', 'nothing stands in the way of an upgrade')
}

const cancelled: Decision = { part: soon, next: { to: 'finish', outcome: 'cancelled', because: 'it was cancelled; the database is as it was' } }

/** As long as there is something to go on with. */
function withCopy(input: MachineInput, goOn: (input: MachineInput, copy: Rehearsal, notes: Notes) => Decision): Decision {
  const { desired: { rehearsal }, operation } = input
  const notes = notesSchema.parse(operation.notes)
  if (notes.cancelRequested) return removes({ outcome: 'cancelled' }, 'it was cancelled')
  if (notes.refused !== undefined) return fails(notes.refused)
  if (notes.copyId === undefined) {
    const made = 'the copy to be made'
    return stay(merge([record({ kind: 'rehearsalMade', operationId: operation.id }), waitFor(made, lookMs)]), made)
  }
  if (rehearsal === null || rehearsal.isDeleting) return fails({ code: 'CopyRemoved', message: 'the copy was deleted while it was rehearsed on', next: 'Ask for the rehearsal again; the database is as it was.' })
  if (stillForMs(input) > stallMs) return fails({ code: 'Stalled', message: `nothing happened to the copy ${rehearsal.name} for ${stallMs / 3_600_000} hours`, next: 'Look at the events of the copy, then ask again; the database is as it was.' })
  return goOn(input, rehearsal, notes)
}

function restoring(_: MachineInput, { name, operation }: Rehearsal, { measured }: Notes): Decision {
  if (operation?.kind !== 'restore' || operation.outcome === null) return follows(`the copy ${name} to be restored`, operation)
  if (operation.outcome !== 'succeeded') return fails(failureOf(operation, 'the copy could not be restored'))
  return enter('awaitingBackup', `the copy ${name} was restored`, { measured: { ...measured, ...restoreMeasured(operation) } })
}

/** An upgrade asks for both: what is rehearsed is all of it. */
function awaitingBackup(_: MachineInput, { name, conditions, operation }: Rehearsal): Decision {
  const missing = ['Ready', 'BackupsHealthy'].find((type) => !conditions.some((condition) => condition.type === type && condition.status === 'true'))
  if (missing === undefined) return enter('upgrading', `the copy ${name} is as an upgrade asks for`)
  const said = conditions.find(({ type }) => type === missing)
  // a sentence of the copy's own: another one means that something happened
  return follows(missing === 'Ready' ? `the copy ${name} to take connections` : `the first backup of the copy ${name}`, operation, { condition: said?.message ?? null })
}

function upgrading(input: MachineInput, { name, operation }: Rehearsal, { upgradeId, measured }: Notes): Decision {
  if (upgradeId === undefined) {
    const order = record({ kind: 'rehearsalUpgradeOrdered', operationId: input.operation.id, input: moveInputSchema.parse(input.operation.input) })
    // somebody's own operation on the copy goes first
    const part = operation?.finishedAt === null ? waitFor('the copy to be free', lookMs) : merge([order, waitFor('the upgrade of the copy to begin', lookMs)])
    return stay(part, `the upgrade of the copy ${name} to begin`)
  }
  if (operation?.kind !== 'upgradeToHa' || operation.outcome === null) return follows(`the copy ${name} to be upgraded`, operation)
  if (operation.outcome !== 'succeeded') return fails(failureOf(operation, 'the upgrade of the copy was cancelled'))
  return removes({ outcome: 'succeeded' }, `the copy ${name} was upgraded`, { ...measured, ...upgradeMeasured(operation) })
}

/** Whatever became of it, the copy is seen to be gone first. */
function removing(input: MachineInput): Decision {
  const { desired: { rehearsal }, operation } = input
  const { ending, measured } = notesSchema.parse(operation.notes)
  const told = ending?.outcome === 'succeeded' ? { ...measured, summary: summaryOf(measured) } : { ...measured }
  if (rehearsal !== null && stillForMs(input) < removalMs) {
    const what = `the copy ${rehearsal.name} to be removed`
    const isMoving = rehearsal.operation?.finishedAt === null && rehearsal.operation.phase === 'movingClients'
    // its clients are between two servers for seconds; after that it is deleted
    const order = rehearsal.leavesNothing || isMoving ? [] : [record({ kind: 'rehearsalRemoved' })]
    return stay(merge([...order, waitFor(what, lookMs)]), what, told)
  }
  if (operation.progress === null) return stay(soon, 'what was found to be written down', told)
  const left = rehearsal === null ? '' : `; the copy ${rehearsal.name} is still being removed`
  switch (ending?.outcome) {
    case 'succeeded':
      return succeeded(`${summaryOf(measured)}${left}`)
    case 'failed':
      return failed(ending.failure.code, `${ending.failure.message}${left}`, ending.failure.next)
    case 'cancelled':
    case undefined:
      return { ...cancelled, next: { to: 'finish', outcome: 'cancelled', because: `it was cancelled; the database is as it was${left}` } }
  }
}

/** What is done to the copy is shown as its own progress. */
function follows(what: string, operation: RehearsedOperation | null, more: Readonly<Record<string, unknown>> = {}): Decision {
  return waits(what, lookMs, { copy: operation === null ? null : { kind: operation.kind, phase: operation.phase, progress: operation.progress }, ...more })
}

function removes(ending: Ending, because: string, measured?: Measured): Decision {
  return enter('removing', because, { ending, ...(measured !== undefined && { measured }) })
}

function fails(failure: Failure): Decision {
  return removes({ outcome: 'failed', failure }, failure.message)
}

function failureOf({ failure }: RehearsedOperation, otherwise: string): Failure {
  if (failure === null) return { code: 'CopyCancelled', message: otherwise, next: 'Ask for the rehearsal again; the database is as it was.' }
  return { ...failure, next: failure.next ?? 'Look at the events of this rehearsal; the database is as it was.' }
}
