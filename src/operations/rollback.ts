/**
 * rollback: from the cluster back to the server that it came from and that has followed it since. Clients are held for a moment, the
 * cluster's leader is stopped, the server is promoted, and clients go on there; the cluster follows it in its turn, ready for another upgrade.
 * What must hold: as of upgradeToHa, the other way round; see executor/cutover.
 * Phases: preflight → movingClients → awaitingFollower. Point of no return: within movingClients, when the cluster is told to follow.
 */
import type { Leader } from '../domain/cluster.ts'
import { instanceWith } from '../domain/desired.ts'
import { enter, failed, soon, stillForMs, succeeded, unknownPhase, waits } from './clusterMachine.ts'
import { awaitingFollower, leaderNow, movingBack, notClose, surveys } from './goingBack.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { movingNotes, moveInputSchema } from './movingClients.ts'
import { rollbackFindings, surveyNotes } from './preflight.ts'

const notesSchema = movingNotes.extend(surveyNotes)

const lookMs = 300
/** Whoever wants to go back wants it now: what is not ready by then is told instead. */
const readyMs = 60_000

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
        return movingBack(input, { cancelled, again: 'preflight', wentBack: (reason) => failed('WentBack', reason, 'The cluster serves as before. Ask again when that is over.') })
      case 'awaitingFollower':
        return awaitingFollower(input)
    }
    return unknownPhase(input)
  },
}

function preflight(input: MachineInput): Decision {
  const { desired, operation } = input
  const { survey, surveyedAgain, cancelRequested } = notesSchema.parse(operation.notes)
  const { dryRun } = moveInputSchema.parse(operation.input)
  const former = instanceWith(desired, 'rollbackTarget')
  if (former === undefined) return failed('TargetMissing', 'the former server is gone', 'The cluster serves on; its backups are the way to an earlier state.')
  if (cancelRequested) return cancelled
  const leader = leaderNow(input)
  const missing = notClose(input, former)
  if (leader === null) return notReadyYet(input, 'a member to lead the cluster')
  if (survey === undefined) return looksAt(input, leader, false)
  const { blockers, warnings } = rollbackFindings(survey, dryRun ? missing : null)
  if (operation.progress === null) return stay(soon, 'what was found to be written down', { blockers, warnings })
  const told = blockers.map(({ message }) => message).join(' ')
  if (dryRun) return succeeded(blockers.length === 0 ? 'nothing stands in the way of a rollback' : `not as it is: ${told}`)
  if (blockers.length > 0) return failed('PreflightFailed', told, blockers.map(({ next }) => next).join(' '))
  if (missing !== null) return notReadyYet(input, missing)
  // what was found may be a minute old, or of an earlier try
  return surveyedAgain ? enter('movingClients', 'the former server follows closely') : looksAt(input, leader, true)
}

/** Not for ever: its engine may be away. */
function looksAt(input: MachineInput, leader: Leader, again: boolean): Decision {
  return stillForMs(input) > readyMs ? notReadyYet(input, 'the leader to be looked at') : surveys(input, leader, again)
}

function notReadyYet(input: MachineInput, missing: string): Decision {
  if (stillForMs(input) <= readyMs) return waits(missing, lookMs)
  return failed('NotReady', `there is no way back now: waited ${readyMs / 1_000} s for ${missing}`, 'The cluster serves on. The conditions of the database say what is done about it; ask again when it is over.')
}
