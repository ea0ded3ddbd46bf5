/**
 * What one concern contributes to a plan. Parts are values: a concern returns one, `merge` joins them.
 */
import type { Action, StoreRecord } from './action.ts'
import type { Blueprints } from './blueprint.ts'
import type { Desired } from './desired.ts'
import type { Observed } from './observed.ts'
import type { ResourceNames } from './names.ts'
import type { Tier } from './tiers.ts'

export interface PlanInput {
  readonly desired: Desired
  readonly blueprints: Blueprints
  readonly observed: Observed
  readonly names: ResourceNames
  /** The tier's schedule, or what the settings put in its place. */
  readonly schedule: Tier['backups']
  readonly now: Date
}

/** Nothing can go on until somebody acts: the reason and the sentence of the condition. */
export interface Blocked {
  readonly reason: string
  readonly message: string
}

export interface Part {
  readonly actions: readonly Action[]
  readonly records: readonly StoreRecord[]
  /** What is waited for, one sentence each; a plan that waits for something is not settled. */
  readonly waitingFor: readonly string[]
  /** Look again then; null: no wish of its own. */
  readonly requeueAfterMs: number | null
  /** What cannot go on until somebody acts; the rest goes on. */
  readonly blocked: readonly Blocked[]
}

export const nothing: Part = { actions: [], records: [], waitingFor: [], requeueAfterMs: null, blocked: [] }

export function act(...actions: Action[]): Part {
  return { ...nothing, actions }
}

export function record(...records: StoreRecord[]): Part {
  return { ...nothing, records }
}

export function waitFor(what: string, requeueAfterMs: number): Part {
  return { ...nothing, waitingFor: [what], requeueAfterMs }
}

export function block(reason: string, message: string): Part {
  return { ...nothing, blocked: [{ reason, message }] }
}

/** Later, without being unsettled: a schedule. */
export function lookAgain(requeueAfterMs: number): Part {
  return { ...nothing, requeueAfterMs }
}

export function merge(parts: readonly Part[]): Part {
  const wishes = parts.map((part) => part.requeueAfterMs).filter((wish) => wish !== null)
  return {
    actions: parts.flatMap((part) => part.actions),
    records: parts.flatMap((part) => part.records),
    waitingFor: parts.flatMap((part) => part.waitingFor),
    requeueAfterMs: wishes.length === 0 ? null : Math.min(...wishes),
    blocked: parts.flatMap((part) => part.blocked),
  }
}

/** Whether a part leaves the world as it is and waits for nothing. */
export function isSettled(part: Part): boolean {
  return !changesAnything(part) && part.waitingFor.length === 0 && part.blocked.length === 0
}

/** Whether the next pass finds another world than this one; a note on the way (`credentialSeen`) makes none. */
export function changesAnything({ actions, records }: Part): boolean {
  return actions.length > 0 || records.some((one) => one.kind !== 'credentialSeen')
}
