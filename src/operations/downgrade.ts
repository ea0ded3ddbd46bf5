/**
 * downgrade: from a cluster to one server, at any time. A server that follows since an upgrade is taken; where there is none, one is made
 * beside the cluster, copies the leader's data and follows. Then clients are moved to it as in a rollback, and the cluster follows it.
 * What must hold: as of rollback; and until clients are moved the cluster is as it was, so that the new server can be thrown away.
 * Phases: preflight → copying → movingClients → awaitingFollower; none is copied where one follows already. Point of no return: as of rollback.
 */
import type { Leader } from '../domain/cluster.ts'
import { instanceWith, type Instance } from '../domain/desired.ts'
import { record, type Part } from '../domain/part.ts'
import { copierName, followerSlotName } from '../domain/prepared.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import { enter, failed, soon, stillForMs, succeeded, unknownPhase, waits } from './clusterMachine.ts'
import { archiveBehind } from './following.ts'
import { awaitingFollower, leaderNow, movingBack, notClose, surveys } from './goingBack.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { movingNotes, moveInputSchema } from './movingClients.ts'
import { downgradeFindings, surveyNotes } from './preflight.ts'

const notesSchema = movingNotes.extend(surveyNotes)

const lookMs = 300
/** A server that follows already is ready, or something is wrong that takes longer to mend than anybody waits. */
const readyMs = 60_000
/** Without a byte copied or a record received: the copy, or its catching up, hangs. Writing a large one to the disk at its end tells nothing. */
const stallMs = 2 * 60 * 60_000
/** A service that refuses to start by its own guard. */
const refusedExitCode = 78

export const downgradeMachine: Machine = {
  kind: 'downgrade',
  version: 1,
  firstPhase: 'preflight',
  pointOfNoReturn: 'movingClients',
  decide(input) {
    switch (input.operation.phase) {
      case 'preflight':
        return preflight(input)
      case 'copying':
        return copying(input)
      case 'movingClients':
        return movingClients(input)
      case 'awaitingFollower':
        return awaitingFollower(input)
    }
    return unknownPhase(input)
  },
}

function preflight(input: MachineInput): Decision {
  const { operation, desired } = input
  const { survey, cancelRequested } = notesSchema.parse(operation.notes)
  const { dryRun } = moveInputSchema.parse(operation.input)
  if (cancelRequested) return cancelled(input)
  const target = instanceWith(desired, 'rollbackTarget')
  if (target === undefined && !dryRun) return gone()
  const leader = leaderNow(input)
  if (leader === null) return waits('a member to lead the cluster', lookMs)
  if (survey === undefined) return surveys(input, leader, false)
  const found = downgradeFindings(input, leader, survey)
  if (operation.progress === null) return stay(soon, 'what was found to be written down', { ...found })
  const told = found.blockers.map(({ message }) => message).join(' ')
  if (dryRun) return succeeded(found.blockers.length === 0 ? 'nothing stands in the way of a downgrade' : `not as it is: ${told}`)
  if (found.blockers.length > 0) return gives(input, 'PreflightFailed', told, found.blockers.map(({ next }) => next).join(' '))
  return target === undefined || isNew(target) ? enter('copying', 'nothing stands in its way') : following(input, target, leader)
}

/** As a rollback goes on. */
function following(input: MachineInput, target: Instance, leader: Leader): Decision {
  const missing = notClose(input, target)
  // what was found may be a minute old, or of an earlier try
  if (missing === null && notesSchema.parse(input.operation.notes).surveyedAgain) return enter('movingClients', 'the former server follows closely')
  if (stillForMs(input) > readyMs) return failed('NotReady', `the former server is not ready: waited ${readyMs / 1_000} s for ${missing ?? 'the leader to be looked at'}`, 'The cluster serves on. The conditions of the database say what is done about it; ask again when it is over, or end the time of the former server first (rollbackUntil): then a new one is made.')
  return missing === null ? surveys(input, leader, true) : waits(missing, lookMs)
}

function copying(input: MachineInput): Decision {
  const target = instanceWith(input.desired, 'rollbackTarget')
  if (target === undefined) return gone()
  if (notesSchema.parse(input.operation.notes).cancelRequested) return cancelled(input)
  if (stillForMs(input) > stallMs) return gives(input, 'NotCaughtUp', `the new server made no progress for ${stallMs / 3_600_000} hours`, 'Look at the events and at the log of its container, then ask again.')
  if (hasRefused(input, target)) return gives(input, 'StartRefused', 'the container of the new server refused to start', 'Ask again: another one is made. The log of its container said why.')
  const leader = leaderNow(input)
  if (leader === null) return waits('a member to lead the cluster', lookMs)
  if (leader.postgres.slots.some(({ name, walStatus }) => name === followerSlotName && walStatus === 'lost')) {
    return gives(input, 'FollowerLost', 'the new server fell so far behind that the cluster does not have its WAL any more', 'Ask again, at a time when less is written.')
  }
  const missing = target.initialisedAt === null ? 'the data to be copied from the leader' : notClose(input, target) ?? archiveBehind(input, target, leader)
  if (missing !== null) return waits(missing, lookMs, progressOf(input, target, leader))
  return lookedAgain(input, leader)
}

/** Of one that nobody has seen with data: then it is no state that passes. */
function hasRefused({ observed, names }: MachineInput, { members }: Instance): boolean {
  return members.some(({ id, hostId }) => {
    const engine = engineOf(observed, hostId)
    const seen = engine.known ? containerNamed(engine.value, names.member(id)) : undefined
    return seen !== undefined && seen.state !== 'running' && seen.exitCode === refusedExitCode
  })
}

/** Bytes while it copies, a position while it follows. */
function progressOf({ observed }: MachineInput, { members: [member] }: Instance, { postgres }: Leader): Readonly<Record<string, unknown>> {
  const seen = member === undefined ? undefined : observed.postgres.get(member.id)
  if (seen?.known === true) return { lsn: seen.value.lsn.toString(16) }
  const copied = postgres.walSenders.find(({ applicationName, copiedBytes }) => applicationName === copierName && copiedBytes !== null)
  return { copiedBytes: copied?.copiedBytes ?? null, totalBytes: postgres.databaseBytes }
}

/** A copy takes its time: what was found before it may have changed. */
function lookedAgain(input: MachineInput, leader: Leader): Decision {
  const { survey, surveyedAgain } = notesSchema.parse(input.operation.notes)
  if (!surveyedAgain || survey === undefined) return surveys(input, leader, true)
  const { blockers } = downgradeFindings(input, leader, survey)
  if (blockers.length > 0) return gives(input, 'PreflightFailed', blockers.map(({ message }) => message).join(' '), blockers.map(({ next }) => next).join(' '))
  return enter('movingClients', 'the new server follows closely')
}

function movingClients(input: MachineInput): Decision {
  const target = instanceWith(input.desired, 'rollbackTarget')
  return movingBack(input, {
    cancelled: cancelled(input), again: target !== undefined && isNew(target) ? 'copying' : 'preflight',
    wentBack: (reason) => gives(input, 'WentBack', reason, 'The cluster serves as before. Ask again when that is over.'),
  })
}

function gone(): Decision {
  return failed('TargetMissing', 'the server that was to take over is gone', 'The cluster serves on. Ask for the downgrade again: another one is made.')
}

function cancelled(input: MachineInput): Decision {
  return { part: withoutNew(input), next: { to: 'finish', outcome: 'cancelled', because: 'it was cancelled; the cluster serves on' } }
}

function gives(input: MachineInput, code: string, message: string, next: string): Decision {
  return { part: withoutNew(input), next: failed(code, message, next).next }
}

/** One that was there before goes on following. */
function withoutNew({ desired }: MachineInput): Part {
  const target = instanceWith(desired, 'rollbackTarget')
  if (target === undefined || !isNew(target)) return soon
  return { ...record({ kind: 'instanceRole', instanceId: target.id, role: 'retired' }), requeueAfterMs: 0 }
}

function isNew({ keptUntil }: Instance): boolean {
  return keptUntil === null
}
