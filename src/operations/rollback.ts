/**
 * rollback: from the cluster back to the server that it came from and that has followed it since. Clients are held for a moment, the
 * cluster's leader is stopped, the server is promoted, and clients go on there; the cluster follows it in its turn, ready for another upgrade.
 * What must hold: as of upgradeToHa, the other way round; see executor/cutover.
 * Phases: preflight → movingClients → awaitingFollower. Point of no return: within movingClients, when the cluster is told to follow.
 */
import { instanceWith } from '../domain/desired.ts'
import { failed, soon, stillForMs, unknownPhase, waits } from './clusterMachine.ts'
import { awaitingFollower, movingBack, notClose } from './goingBack.ts'
import type { Decision, Machine, MachineInput } from './machine.ts'
import { movingNotes } from './movingClients.ts'

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
  const former = instanceWith(desired, 'rollbackTarget')
  if (former === undefined) return failed('TargetMissing', 'the former server is gone', 'The cluster serves on; its backups are the way to an earlier state.')
  if (movingNotes.parse(operation.notes).cancelRequested) return cancelled
  const missing = notClose(input, former)
  if (missing === null) return { part: soon, next: { to: 'enter', phase: 'movingClients', because: 'the former server follows closely' } }
  if (stillForMs(input) > readyMs) return failed('NotReady', `there is no way back now: waited ${readyMs / 1_000} s for ${missing}`, 'The cluster serves on. The conditions of the database say what is done about it; ask again when it is over.')
  return waits(missing, lookMs)
}

