/** The phase that both ways have: clients are moved by one action, which brings to an end whatever it, or a predecessor, began. */
import { z } from 'zod'
import { rollbackTargetKeptMs, type Instance } from '../domain/desired.ts'
import { act, merge, record, waitFor } from '../domain/part.ts'
import { proxiesInUse, proxyKey } from '../domain/reading.ts'
import { stay, type Decision, type MachineInput } from './machine.ts'

/** Clients wait no longer than this: before that the move goes back by itself. */
export const budgetSchema = z.number().int().min(500).max(15_000).default(5_000)

const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('moved'), systemIdentifier: z.string(), pauseMs: z.number().nullable(),
    /** Milliseconds from when clients were held to the end of each step. */
    steps: z.record(z.string(), z.number()).default({}),
  }),
  z.object({ kind: z.literal('wentBack'), reason: z.string(), pauseMs: z.number().nullable() }),
])
export type CutoverOutcome = z.output<typeof outcomeSchema>

/** What the action and its controller wrote down. */
export const movingNotes = z.object({
  attempted: z.boolean().default(false),
  outcome: outcomeSchema.optional(),
  cancelRequested: z.boolean().default(false),
})

const lookMs = 300

/** `next`: the phase after it. `wentBack`: how the operation ends then. */
export function moveClients(input: MachineInput, from: Instance, to: Instance, budgetMs: number, next: string, wentBack: (reason: string) => Decision): Decision {
  const { operation } = input
  const { attempted, outcome } = movingNotes.parse(operation.notes)
  if (outcome === undefined) {
    const move = act({ kind: 'cutOver', operationId: operation.id, fromId: from.id, toId: to.id, budgetMs, settleOnly: attempted })
    // written before it is begun: whoever comes after knows that it may have been
    const noted = attempted ? [] : [record({ kind: 'operationNoted', operationId: operation.id, notes: { attempted: true } })]
    return stay(merge([...noted, move, waitFor('the clients to be moved', lookMs)]), 'the clients to be moved')
  }
  if (outcome.kind === 'wentBack') return wentBack(outcome.reason)
  const change = record({ kind: 'placesChanged', fromId: from.id, toId: to.id, systemIdentifier: outcome.systemIdentifier, keptForMs: rollbackTargetKeptMs })
  return { part: { ...change, requeueAfterMs: 0 }, next: { to: 'enter', phase: next, because: `clients were moved${pauseOf(outcome)}` } }
}

/** How long clients waited, and for what. */
export function pauseProgress(outcome: CutoverOutcome | undefined): Readonly<Record<string, unknown>> {
  return { pauseMs: outcome?.pauseMs ?? null, ...(outcome?.kind === 'moved' && { steps: outcome.steps }) }
}

export function pauseOf(outcome: CutoverOutcome | undefined): string {
  return outcome === undefined || outcome.pauseMs === null ? '' : `, who waited ${outcome.pauseMs} ms`
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
