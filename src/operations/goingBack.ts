/** What a rollback and a downgrade share: clients are moved from the cluster to a server that follows it, and the cluster follows then. */
import { leaderOf, type Leader } from '../domain/cluster.ts'
import { instanceWith, servingInstance, type Instance } from '../domain/desired.ts'
import { act, merge, waitFor } from '../domain/part.ts'
import { primaryMember } from '../domain/reading.ts'
import { failed, soon, stillForMs, succeeded, waits } from './clusterMachine.ts'
import { behindOf, serverBehind } from './following.ts'
import { stay, type Decision, type MachineInput } from './machine.ts'
import { moveClients, movingNotes, pauseOf, pauseProgress, unready, type Move } from './movingClients.ts'

const lookMs = 300
const followMs = 15 * 60_000

export function leaderNow({ desired, observed }: MachineInput): Leader | null {
  const serving = servingInstance(desired)
  return serving?.kind === 'cluster' ? leaderOf(observed, serving) : null
}

export function surveys({ operation }: MachineInput, leader: Leader, again: boolean): Decision {
  const what = again ? 'the leader to be looked at again' : 'the leader to be looked at'
  return stay(merge([act({ kind: 'surveySource', operationId: operation.id, memberId: leader.member.id, again }), waitFor(what, lookMs)]), what)
}

/** What is missing for clients to be moved; null: the server follows the leader closely, and everything around it is ready. */
export function notClose(input: MachineInput, server: Instance): string | null {
  const leader = leaderNow(input)
  return leader === null ? 'a member to lead the cluster' : serverBehind(input, server, leader) ?? unready(input)
}

export interface MoveBack extends Pick<Move, 'again' | 'wentBack'> {
  /** How the operation ends when that was asked for before anything was begun. */
  readonly cancelled: Decision
}

export function movingBack(input: MachineInput, { cancelled, again, wentBack }: MoveBack): Decision {
  const { desired, operation } = input
  const [from, to] = [servingInstance(desired), instanceWith(desired, 'rollbackTarget')]
  // the places were changed, and this controller's predecessor died before it wrote so
  if (from?.kind === 'standalone') return { part: soon, next: { to: 'enter', phase: 'awaitingFollower', because: 'the server serves' } }
  if (from === undefined || to === undefined) return failed('TargetMissing', 'the server that followed is gone', 'Look at the events of this database.')
  const { attempted, cancelRequested } = movingNotes.parse(operation.notes)
  // asked for while this phase was being entered
  if (cancelRequested && !attempted) return cancelled
  return moveClients(input, { from, to, next: 'awaitingFollower', again, wentBack })
}

/** It serves already; whether the way forward is open again is another matter. */
export function awaitingFollower(input: MachineInput): Decision {
  const { desired, observed, operation } = input
  const [serving, cluster] = [servingInstance(desired), instanceWith(desired, 'preparing')]
  const { outcome } = movingNotes.parse(operation.notes)
  if (operation.progress === null) return stay(soon, 'what was measured to be written down', pauseProgress(outcome))
  if (serving === undefined || cluster === undefined) return succeeded(`the server serves${pauseOf(outcome)}; the cluster is gone`)
  const primary = primaryMember(observed, serving)
  const missing = primary === null ? 'the server to answer' : behindOf(input, cluster, primary)
  if (missing === null) return succeeded(`the server serves, and the cluster follows it${pauseOf(outcome)}`)
  if (stillForMs(input) > followMs) return failed('ClusterDoesNotFollow', `the server serves, but the cluster did not follow it within ${followMs / 60_000} minutes`, 'Nothing has to be done: it is removed when its time is over. Another upgrade makes a new one after that.')
  return waits(missing, lookMs, pauseProgress(outcome))
}
