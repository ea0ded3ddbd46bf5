/**
 * reinitialise: a replica's data are thrown away and copied anew from the leader. What must hold: never the leader's; never
 * the only replica on which commits can wait; and only while a leader is there to copy from.
 * Phases: discardingData → awaitingCopy. Point of no return: the removal of the data, which is harmless: they are a copy.
 */
import { z } from 'zod'
import { isSynchronous, synchronousReplicas } from '../domain/cluster.ts'
import type { Member } from '../domain/desired.ts'
import { act, merge, record, waitFor } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import { clusterNow, enter, failed, memberOf, notACluster, stillForMs, succeeded, unknownPhase, waits, type ClusterNow } from './clusterMachine.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'

export const reinitialiseInputSchema = z.object({ memberId: z.string() })

const notesSchema = z.object({ containerId: z.string().nullable().optional() })

const lookMs = 300
const leaderMs = 10 * 60_000
/** A copy whose progress nobody sees for this long; a large database takes hours, and a healthy leader is asked meanwhile. */
const copyMs = 12 * 60 * 60_000

export const reinitialiseMachine: Machine = {
  kind: 'reinitialise',
  version: 1,
  firstPhase: 'discardingData',
  pointOfNoReturn: 'awaitingCopy',
  decide(input) {
    const now = clusterNow(input)
    if (now === null) return notACluster()
    const { memberId } = reinitialiseInputSchema.parse(input.operation.input)
    const member = memberOf(now.instance, memberId)
    if (member === undefined) return failed('NoSuchMember', `the member ${memberId} does not belong to this database`, 'Choose one of its members.')
    switch (input.operation.phase) {
      case 'discardingData':
        return discardingData(input, now, member)
      case 'awaitingCopy':
        return awaitingCopy(input, now, member)
    }
    return unknownPhase(input)
  },
}

/** The container that is there when it begins is noted: data are gone when it is. */
function discardingData(input: MachineInput, { instance, leader }: ClusterNow, member: Member): Decision {
  const { containerId } = notesSchema.parse(input.operation.notes)
  const engine = engineOf(input.observed, member.hostId)
  if (!engine.known) return waits(`the host of the member to be seen (${engine.reason})`, lookMs)
  const container = containerNamed(engine.value, input.names.member(member.id))
  if (containerId === undefined) return enter('discardingData', 'the container of now was noted', { containerId: container?.id ?? null })
  const hasVolume = engine.value.volumes.some(({ name }) => name === input.names.dataVolume(member.id))
  if (container?.id !== containerId && (!hasVolume || container !== undefined)) return enter('awaitingCopy', 'its data are gone')
  if (leader === null) return stillForMs(input) > leaderMs ? noLeader() : waits('a leader to copy the data from', lookMs)
  if (leader.member.id === member.id) return failed('MemberIsLeader', `member ${member.ordinal} leads: its data are the database`, 'Ask for a switchover first, or choose a replica.')
  if (isLastSynchronous(input, { instance, leader }, member)) {
    return failed('OnlySynchronousReplica', `member ${member.ordinal} is the only synchronous replica: without it the leader would be alone with the data`, 'Wait until the other replica is synchronous, and ask again.')
  }
  const discard = act({ kind: 'reinitialiseMember', instanceId: instance.id, memberId: member.id, because: 'it was asked for' })
  return stay(merge([discard, waitFor('the data of the member to be removed', lookMs)]), 'the data of the member to be removed')
}

function isLastSynchronous({ observed }: MachineInput, { instance, leader }: ClusterNow, member: Member): boolean {
  return leader !== null && isSynchronous(observed, instance, leader, member.id) && synchronousReplicas(observed, instance, leader).length < 2
}

function awaitingCopy(input: MachineInput, { instance, leader }: ClusterNow, member: Member): Decision {
  if (leader !== null && isSynchronous(input.observed, instance, leader, member.id)) {
    const note = { severity: 'info', reason: 'MemberRebuilt', message: `Member ${member.ordinal} was copied anew from the leader and is synchronous.`, facts: { memberId: member.id } } as const
    return { ...succeeded('the member was copied anew and is synchronous'), part: record({ kind: 'event', note }) }
  }
  if (stillForMs(input) > copyMs) return failed('NotCopied', `the member was not synchronous within ${copyMs / 3_600_000} hours`, 'It is still being copied, if it can be: its status says how it is.')
  const patroni = input.observed.patroni.get(member.id)
  return waits('the member to be copied from the leader', lookMs, patroni?.known === true ? { state: patroni.value.state } : {})
}

function noLeader(): Decision {
  return failed('NoLeader', `no leader was seen for ${leaderMs / 60_000} minutes, so nothing was removed`, 'Look at the condition PrimaryAvailable, and ask again when it is true.')
}
