/** What the machines of clusters share: whom they are about, and how they end. */
import { leaderOf, type Leader } from '../domain/cluster.ts'
import { servingInstance, type Instance, type Member } from '../domain/desired.ts'
import { nothing, waitFor, type Part } from '../domain/part.ts'
import { stay, type Decision, type MachineInput } from './machine.ts'

export const soon: Part = { ...nothing, requeueAfterMs: 0 }

export interface ClusterNow {
  readonly instance: Instance
  /** Null while the leader moves, or cannot be seen. */
  readonly leader: Leader | null
}

/** Null when the database is served by no cluster. */
export function clusterNow({ desired, observed }: MachineInput): ClusterNow | null {
  const instance = servingInstance(desired)
  return instance?.kind === 'cluster' ? { instance, leader: leaderOf(observed, instance) } : null
}

export function memberOf({ members }: Instance, memberId: string): Member | undefined {
  return members.find(({ id }) => id === memberId)
}

export function enter(phase: string, because: string, notes?: Readonly<Record<string, unknown>>): Decision {
  return { part: soon, next: { to: 'enter', phase, because, ...(notes !== undefined && { notes }) } }
}

export function succeeded(because: string): Decision {
  return { part: nothing, next: { to: 'finish', outcome: 'succeeded', because } }
}

export function failed(code: string, message: string, next: string): Decision {
  return { part: nothing, next: { to: 'finish', outcome: 'failed', because: message, failure: { code, message, next } } }
}

export function unknownPhase({ operation }: MachineInput): Decision {
  return failed('UnknownPhase', `this controller does not know the phase ${operation.phase}`, 'Update the controller.')
}

export function notACluster(): Decision {
  return failed('NotHighlyAvailable', 'the database is not served by a cluster', 'Nothing was changed.')
}

export function waits(what: string, lookMs: number, progress?: Readonly<Record<string, unknown>>): Decision {
  return stay(waitFor(what, lookMs), what, progress)
}

/** Since the phase began, or since it was last seen to get on. */
export function stillForMs({ operation, now }: MachineInput): number {
  return now.getTime() - Math.max(operation.phaseEnteredAt.getTime(), operation.progressedAt.getTime())
}
