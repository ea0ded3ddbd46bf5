/**
 * upgradeToHa: one server becomes a cluster of three, and follows it from then on. A cluster that follows the server is made beside it;
 * when it has caught up, clients are held for a moment, the server is fenced and stopped, the cluster is promoted, and clients go on there.
 * What must hold: nobody is promoted before the server is fenced against coming back as more than a follower, has stopped cleanly, and
 * its last record was received; and of going on and going back only one ever happens (one key in etcd decides).
 * Phases: preflight → copying → movingClients → awaitingReplicas. Point of no return: within movingClients, when the cluster is told to
 * lead. Until then the cluster can be thrown away and the server is as it was.
 */
import { z } from 'zod'
import { isWhole } from '../domain/cluster.ts'
import { instanceWith, servingInstance, type Instance } from '../domain/desired.ts'
import { act, merge, record, waitFor, type Part } from '../domain/part.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { primaryMember, type Primary } from '../domain/reading.ts'
import { failed, soon, stillForMs, succeeded, unknownPhase, waits } from './clusterMachine.ts'
import { behindOf, withoutRoom } from './following.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { moveClients, moveInputSchema, movingNotes, pauseOf, pauseProgress, unready } from './movingClients.ts'
import { findings, surveyNotes } from './preflight.ts'

const notesSchema = movingNotes.extend(surveyNotes)

const lookMs = 300
/** Without any progress: a copy, or its catching up, hangs. */
const stallMs = 12 * 60 * 60_000
/** A proxy or a controller that is just being started: what was copied for hours is not thrown away for that. */
const passingBlocker = 'NotReady'
const passingMs = 60_000
const rejoinMs = 15 * 60_000

export const upgradeToHaMachine: Machine = {
  kind: 'upgradeToHa',
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
      case 'awaitingReplicas':
        return awaitingReplicas(input)
    }
    return unknownPhase(input)
  },
}

function preflight(input: MachineInput): Decision {
  const { operation } = input
  const primary = sourceOf(input)
  if (primary === null) return waits('the server to answer', lookMs)
  const { survey, cancelRequested } = notesSchema.parse(operation.notes)
  if (cancelRequested) return cancelled(input)
  if (survey === undefined) return stay(merge([act({ kind: 'surveySource', operationId: operation.id, memberId: primary.member.id, again: false }), waitFor('the server to be looked at', lookMs)]), 'the server to be looked at')
  const found = findings(input, primary, survey)
  if (operation.progress === null) return stay(soon, 'what was found to be written down', { ...found })
  const { dryRun } = moveInputSchema.parse(operation.input)
  const told = found.blockers.map(({ message }) => message).join(' ')
  if (dryRun) return succeeded(found.blockers.length === 0 ? 'nothing stands in the way of an upgrade' : `not as it is: ${told}`)
  if (found.blockers.length > 0) return gives(input, 'PreflightFailed', told, found.blockers.map(({ next }) => next).join(' '))
  return { part: soon, next: { to: 'enter', phase: 'copying', because: 'nothing stands in its way' } }
}

/** The serving standalone; null while it cannot be seen to take writes. */
export function sourceOf({ desired, observed }: MachineInput): Primary | null {
  const serving = servingInstance(desired)
  return serving?.kind === 'standalone' ? primaryMember(observed, serving) : null
}

function copying(input: MachineInput): Decision {
  const { desired, operation } = input
  const [primary, target] = [sourceOf(input), instanceWith(desired, 'preparing')]
  if (target === undefined) return failed('TargetMissing', 'the cluster that was being made is gone', 'Ask for the upgrade again; the server is as it was.')
  if (notesSchema.parse(operation.notes).cancelRequested) return cancelled(input)
  if (stillForMs(input) > stallMs) return gives(input, 'NotCaughtUp', `the cluster did not catch up, and made no progress for ${stallMs / 3_600_000} hours`, 'Look at the events and at the logs of its members, then ask again.')
  if (primary === null) return waits('the server to answer', lookMs)
  const slot = primary.postgres.slots.find(({ name }) => name === followerSlotName)
  // one that follows since a way back is not made anew by way of its slot
  if (target.keptUntil !== null && (slot === undefined || slot.walStatus === 'lost')) return discards(input, 'FollowerLost', 'the cluster that followed since the last rollback lacks WAL that the server does not have any more', 'It is removed. Ask for the upgrade again: another one is made.')
  if (slot?.walStatus === 'lost') return stay(merge([act({ kind: 'dropSlot', memberId: primary.member.id, slot: followerSlotName }), waitFor('what was not kept to be kept anew', lookMs)]), 'what was not kept to be kept anew')
  if (slot === undefined) {
    const make = act({ kind: 'makeSlot', memberId: primary.member.id, slot: followerSlotName })
    return stay(merge([make, waitFor('the server to keep what is to be copied', lookMs)]), 'the server to keep what is to be copied')
  }
  const missing = withoutRoom(input, target, primary) ?? behindOf(input, target, primary) ?? unready(input)
  if (missing !== null) return waits(missing, lookMs, { ...copiedOf(input, target, primary), lsn: lsnsOf(input, target).join(' ') })
  return lookedAgain(input, primary)
}

/** A copy takes its time: what was found before it may have changed. */
function lookedAgain(input: MachineInput, primary: Primary): Decision {
  const { operation } = input
  const { survey, surveyedAgain } = notesSchema.parse(operation.notes)
  if (!surveyedAgain || survey === undefined) return stay(merge([act({ kind: 'surveySource', operationId: operation.id, memberId: primary.member.id, again: true }), waitFor('the server to be looked at again', lookMs)]), 'the server to be looked at again')
  const { blockers } = findings(input, primary, survey)
  if (blockers.length > 0 && blockers.every(({ code }) => code === passingBlocker) && !hasLasted(input)) return waits('the database to take connections', lookMs, { awaits: passingBlocker })
  if (blockers.length > 0) return gives(input, 'PreflightFailed', blockers.map(({ message }) => message).join(' '), blockers.map(({ next }) => next).join(' '))
  return { part: soon, next: { to: 'enter', phase: 'movingClients', because: 'the cluster follows the server closely' } }
}

/** From when it was written down that this is waited for. */
function hasLasted(input: MachineInput): boolean {
  return z.object({ awaits: z.literal(passingBlocker) }).safeParse(input.operation.progress).success && stillForMs(input) > passingMs
}

/** Copies under way: the first member's from the server, the others' from that. Null while there is none. */
function copiedOf({ observed }: MachineInput, { members }: Instance, { postgres }: Primary) {
  const seen = members.map(({ id }) => observed.postgres.get(id)).flatMap((one) => (one?.known === true ? [one.value] : []))
  const copies = [postgres, ...seen].flatMap(({ walSenders }) => walSenders.flatMap(({ copiedBytes }) => copiedBytes ?? []))
  return { copiedBytes: copies.length === 0 ? null : copies.reduce((sum, one) => sum + one, 0), copies: copies.length, totalBytes: postgres.databaseBytes }
}

function lsnsOf({ observed }: MachineInput, target: Instance): string[] {
  return target.members.map(({ id }) => {
    const seen = observed.postgres.get(id)
    return seen?.known === true ? seen.value.lsn.toString(16) : '-'
  })
}

function movingClients(input: MachineInput): Decision {
  const { desired, operation } = input
  const { attempted, cancelRequested } = notesSchema.parse(operation.notes)
  // asked for while this phase was being entered
  if (cancelRequested && !attempted) return cancelled(input)
  const [from, to] = [servingInstance(desired), instanceWith(desired, 'preparing')]
  // the places were changed, and this controller's predecessor died before it wrote so
  if (from?.kind === 'cluster') return { part: soon, next: { to: 'enter', phase: 'awaitingReplicas', because: 'the cluster serves' } }
  if (from === undefined || to === undefined) return failed('TargetMissing', 'the cluster that was being made is gone', 'Look at the events of this database.')
  return moveClients(input, {
    from, to, next: 'awaitingReplicas', again: 'copying',
    wentBack: (reason) => gives(input, 'WentBack', reason, 'The server is as it was. Ask again when that is over.'),
  })
}

function awaitingReplicas(input: MachineInput): Decision {
  const serving = servingInstance(input.desired)
  const { outcome } = notesSchema.parse(input.operation.notes)
  if (input.operation.progress === null) return stay(soon, 'what was measured to be written down', pauseProgress(outcome))
  if (serving !== undefined && isWhole(input.observed, serving)) return succeeded(`the cluster serves, and every replica is synchronous${pauseOf(outcome)}`)
  if (stillForMs(input) > rejoinMs) return failed('ReplicasMissing', `the cluster serves, but not every replica was synchronous within ${rejoinMs / 60_000} minutes`, 'Look at the condition ReplicationHealthy: it says what is done about it.')
  return waits('every replica to be synchronous', lookMs, pauseProgress(outcome))
}

function cancelled(input: MachineInput): Decision {
  return { part: withoutTarget(input), next: { to: 'finish', outcome: 'cancelled', because: 'it was cancelled; the server is as it was' } }
}

function gives(input: MachineInput, code: string, message: string, next: string): Decision {
  const { next: finish } = failed(code, message, next)
  return { part: withoutTarget(input), next: finish }
}

/** One that follows since a rollback goes on with that. */
function withoutTarget({ desired }: MachineInput): Part {
  const target = instanceWith(desired, 'preparing')
  return target === undefined || target.keptUntil !== null ? soon : retired(target)
}

function discards({ desired }: MachineInput, code: string, message: string, next: string): Decision {
  const target = instanceWith(desired, 'preparing')
  const { next: finish } = failed(code, message, next)
  return { part: target === undefined ? soon : retired(target), next: finish }
}

function retired({ id }: Instance): Part {
  return { ...record({ kind: 'instanceRole', instanceId: id, role: 'retired' }), requeueAfterMs: 0 }
}
