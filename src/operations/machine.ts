/**
 * Phase machines for what needs an order that the world alone cannot tell. `decide` is pure; the phase row is the
 * intent, written before its effect; a phase ends when its result is observed, never when a call returns.
 */
import type { Operation, OperationKind } from '../domain/desired.ts'
import type { Part, PlanInput } from '../domain/part.ts'

export type Next =
  | { readonly to: 'stay'; readonly waitingFor: string; readonly progress?: Readonly<Record<string, unknown>> }
  | { readonly to: 'enter'; readonly phase: string; readonly because: string; readonly notes?: unknown }
  | { readonly to: 'finish'; readonly outcome: 'succeeded' | 'failed' | 'cancelled'; readonly because: string; readonly failure?: OperationFailure }

export interface OperationFailure {
  readonly code: string
  readonly message: string
  readonly next: string
}

export interface Decision {
  readonly part: Part
  readonly next: Next
}

export interface MachineInput extends PlanInput {
  readonly operation: Operation
}

export interface Machine {
  readonly kind: OperationKind
  /** Raised when a controller of the previous version could not go on with what this one wrote. */
  readonly version: number
  readonly firstPhase: string
  /** From this phase on there is only forward. */
  readonly pointOfNoReturn: string | null
  decide(input: MachineInput): Decision
}

export function stay(part: Part, waitingFor: string, progress?: Readonly<Record<string, unknown>>): Decision {
  return { part, next: progress === undefined ? { to: 'stay', waitingFor } : { to: 'stay', waitingFor, progress } }
}
