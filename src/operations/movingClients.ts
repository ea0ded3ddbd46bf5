/** The phase that both ways have: clients are moved by one action, which brings to an end whatever it, or a predecessor, began. */
import { z } from 'zod'
import { clientWindows } from '../domain/action.ts'
import { rollbackTargetKeptMs, type Instance } from '../domain/desired.ts'
import { act, merge, record, waitFor } from '../domain/part.ts'
import { proxiesInUse, proxyKey } from '../domain/reading.ts'
import { stay, type Decision, type MachineInput } from './machine.ts'

/** As it was asked for. `budgetMs`: clients wait no longer than this, or cannot write; before that the move goes back by itself. */
export const movingInput = {
  budgetMs: z.number().int().min(500).max(15_000).default(5_000),
  window: z.enum(clientWindows).default('hold'),
}
const movingSchema = z.object(movingInput)

/** Of an upgrade, a rollback and a downgrade. */
export const moveInputSchema = z.object({
  /** Only says what stands in its way. */
  dryRun: z.boolean().default(false),
  ...movingInput,
})

const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('moved'), systemIdentifier: z.string(), pauseMs: z.number().nullable(),
    /** Milliseconds from when clients were held to the end of each step. */
    steps: z.record(z.string(), z.number()).default({}),
  }),
  z.object({
    kind: z.literal('wentBack'), reason: z.string(), pauseMs: z.number().nullable(),
    /** It ended before clients were held: nobody knows of it. */
    unnoticed: z.boolean().default(false),
  }),
])
type CutoverOutcome = z.output<typeof outcomeSchema>

/** What the action and its controller wrote down. */
export const movingNotes = z.object({
  attempted: z.boolean().default(false),
  outcome: outcomeSchema.nullish(),
  /** How often nobody noticed that it had to go back. */
  unnoticed: z.number().default(0),
  cancelRequested: z.boolean().default(false),
})

const lookMs = 300
const againMs = 1_000

/** A leader that is lost at that moment, or a machine that is busy for one, is over by then. */
const mostUnnoticed = 2

export interface Move {
  readonly from: Instance
  readonly to: Instance
  /** The phase after it. */
  readonly next: string
  /** The phase before it, to which it goes back as long as nobody noticed anything. */
  readonly again: string
  /** How the operation ends then. */
  readonly wentBack: (reason: string) => Decision
}

export function moveClients(input: MachineInput, { from, to, next, again, wentBack }: Move): Decision {
  const { operation } = input
  const { attempted, outcome, unnoticed } = movingNotes.parse(operation.notes)
  if (outcome == null) {
    const move = act({ kind: 'cutOver', operationId: operation.id, fromId: from.id, toId: to.id, ...movingSchema.parse(operation.input), settleOnly: attempted })
    // written before it is begun: whoever comes after knows that it may have been
    const noted = attempted ? [] : [record({ kind: 'operationNoted', operationId: operation.id, notes: { attempted: true } })]
    return stay(merge([...noted, move, waitFor('the clients to be moved', lookMs)]), 'the clients to be moved')
  }
  if (outcome.kind === 'wentBack' && outcome.unnoticed && unnoticed < mostUnnoticed) {
    const notes = { attempted: false, outcome: null, surveyedAgain: false, unnoticed: unnoticed + 1 }
    return { part: waitFor('what was in the way to be over', againMs), next: { to: 'enter', phase: again, because: `nobody was held yet when the move went back, and it is tried again: ${outcome.reason}`, notes } }
  }
  if (outcome.kind === 'wentBack') return wentBack(outcome.reason)
  const change = record({ kind: 'placesChanged', fromId: from.id, toId: to.id, systemIdentifier: outcome.systemIdentifier, keptForMs: rollbackTargetKeptMs })
  return { part: { ...change, requeueAfterMs: 0 }, next: { to: 'enter', phase: next, because: `clients were moved${pauseOf(outcome)}` } }
}

/** How long clients waited, and for what. */
export function pauseProgress(outcome: CutoverOutcome | null | undefined): Readonly<Record<string, unknown>> {
  return { pauseMs: outcome?.pauseMs ?? null, ...(outcome?.kind === 'moved' && { steps: outcome.steps }) }
}

export function pauseOf(outcome: CutoverOutcome | null | undefined): string {
  return outcome == null || outcome.pauseMs === null ? '' : `, who waited ${outcome.pauseMs} ms`
}

/** Everything around it has loaded what it needs for the move. Null when so. */
export function unready({ desired, observed, blueprints }: MachineInput): string | null {
  const { endpoint } = desired
  const keys = endpoint === null ? [] : proxiesInUse(desired, endpoint).map(({ slot }) => proxyKey(endpoint.id, slot))
  const isRouted = keys.every((key) => {
    const [seen, wanted] = [observed.proxies.get(key), blueprints.proxies.get(key)]
    return seen?.known === true && seen.value.configHash === wanted?.configHash
  })
  if (!isRouted) return 'the endpoint to know the members'
  const isLoaded = desired.instances.flatMap(({ members }) => members).every(({ id }) => {
    const seen = observed.postgres.get(id)
    return seen?.known === true && seen.value.configHash === blueprints.members.get(id)?.configHash
  })
  return isLoaded ? null : 'every server to load its configuration'
}
