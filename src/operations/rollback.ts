/**
 * rollback: from the cluster back to the server that it came from and that has followed it since. Clients are held for a moment, the
 * cluster's leader is stopped, the server is promoted, and clients go on there; the cluster follows it in its turn, ready for another upgrade.
 * What must hold: as of upgradeToHa, the other way round; see executor/cutover.
 * Phases: preflight → movingClients → awaitingFollower. Point of no return: within movingClients, when the cluster is told to follow.
 */
import { z } from 'zod'
import { leaderOf } from '../domain/cluster.ts'
import { instanceWith, servingInstance } from '../domain/desired.ts'
import { primaryMember } from '../domain/reading.ts'
import { failed, soon, stillForMs, succeeded, unknownPhase, waits } from './clusterMachine.ts'
import { behindOf, serverBehind } from './following.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { moveClients, movingInput, movingNotes, pauseOf, pauseProgress, unready } from './movingClients.ts'

export const rollbackInputSchema = z.object(movingInput)

const lookMs = 300
/** Whoever wants to go back wants it now: what is not ready by then is told instead. */
const readyMs = 60_000
const followMs = 15 * 60_000

const cancelled: Decision = { part: soon, next: { to: 'finish', outcome: 'cancelled', because: 'it was cancelled; the cluster serves on' } }

export const rollbackMachine: Machine = {
  kind: 'rollback',
  version: 1,
  firstPhase: 'preflight',
  pointOfNoReturn: 'movingClients',
  decide(input) {
    switch (input.operation.phase) {
      case 'preflight':
        return preflight(input)
      case 'movingClients':
        return movingClients(input)
      case 'awaitingFollower':
        return awaitingFollower(input)
    }
    return unknownPhase(input)
  },
}

function preflight(input: MachineInput): Decision {
  const { desired, observed, operation } = input
  const [serving, former] = [servingInstance(desired), instanceWith(desired, 'rollbackTarget')]
  if (former === undefined) return failed('TargetMissing', 'the former server is gone', 'The cluster serves on; its backups are the way to an earlier state.')
  if (movingNotes.parse(operation.notes).cancelRequested) return cancelled
  const leader = serving === undefined ? null : leaderOf(observed, serving)
  const missing = leader === null ? 'a member to lead the cluster' : serverBehind(input, former, leader) ?? unready(input)
  if (missing === null) return { part: soon, next: { to: 'enter', phase: 'movingClients', because: 'the former server follows closely' } }
  if (stillForMs(input) > readyMs) return failed('NotReady', `there is no way back now: waited ${readyMs / 1_000} s for ${missing}`, 'The cluster serves on. The conditions of the database say what is done about it; ask again when it is over.')
  return waits(missing, lookMs)
}

function movingClients(input: MachineInput): Decision {
  const { desired, operation } = input
  const [from, to] = [servingInstance(desired), instanceWith(desired, 'rollbackTarget')]
  // the places were changed, and this controller's predecessor died before it wrote so
  if (from?.kind === 'standalone') return { part: soon, next: { to: 'enter', phase: 'awaitingFollower', because: 'the server serves' } }
  if (from === undefined || to === undefined) return failed('TargetMissing', 'the former server is gone', 'Look at the events of this database.')
  const { attempted, cancelRequested } = movingNotes.parse(operation.notes)
  // asked for while this phase was being entered
  if (cancelRequested && !attempted) return cancelled
  return moveClients(input, {
    from, to, next: 'awaitingFollower', again: 'preflight',
    wentBack: (reason) => failed('WentBack', reason, 'The cluster serves as before. Ask again when that is over.'),
  })
}

/** It serves already; whether the way forward is open again is another matter. */
function awaitingFollower(input: MachineInput): Decision {
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
