/**
 * switchover: another member leads, on purpose. What must hold: it begins only while the chosen replica is synchronous, so
 * that nothing acknowledged can be missing there; and it counts as done when another member is seen to lead.
 * Phases: movingLeader → awaitingReplicas. Point of no return: none of its own; until the leader has moved nothing changed.
 */
import { z } from 'zod'
import { isWhole, synchronousReplicas, type Leader } from '../domain/cluster.ts'
import { act, merge, waitFor } from '../domain/part.ts'
import { clusterNow, enter, failed, memberOf, notACluster, stillForMs, succeeded, unknownPhase, waits, type ClusterNow } from './clusterMachine.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'

/** `candidateId`: the member that is to lead; null: the best replica. */
export const switchoverInputSchema = z.object({ candidateId: z.string().nullable().default(null) })

const notesSchema = z.object({ leaderId: z.string().optional() })

const lookMs = 300
/** A healthy move takes seconds; a replica that does not catch up must not be waited for all day. */
const moveMs = 5 * 60_000
const rejoinMs = 15 * 60_000

export const switchoverMachine: Machine = {
  kind: 'switchover',
  version: 1,
  firstPhase: 'movingLeader',
  pointOfNoReturn: null,
  decide(input) {
    const now = clusterNow(input)
    if (now === null) return notACluster()
    switch (input.operation.phase) {
      case 'movingLeader':
        return movingLeader(input, now)
      case 'awaitingReplicas':
        return awaitingReplicas(input, now)
    }
    return unknownPhase(input)
  },
}

function movingLeader(input: MachineInput, { instance, leader }: ClusterNow): Decision {
  const { candidateId } = switchoverInputSchema.parse(input.operation.input)
  const { leaderId } = notesSchema.parse(input.operation.notes)
  if (candidateId !== null && memberOf(instance, candidateId) === undefined) return failed('NoSuchMember', `the member ${candidateId} does not belong to this database`, 'Choose one of its members.')
  if (leader === null) return late(input) ?? waits('a leader to be seen', lookMs)
  // who led when it began is kept, so that a move that was seen is told from one that is to come
  if (leaderId === undefined) {
    if (leader.member.id === candidateId) return succeeded('the chosen member leads already')
    return enter('movingLeader', 'the leader of now was noted', { leaderId: leader.member.id })
  }
  if (leader.member.id !== leaderId) return moved(leader, candidateId)
  const ready = synchronousReplicas(input.observed, instance, leader).some(({ id }) => candidateId === null || id === candidateId)
  if (!ready) return late(input) ?? waits(candidateId === null ? 'a replica to be synchronous' : 'the chosen replica to be synchronous', lookMs)
  const move = act({ kind: 'switchover', instanceId: instance.id, leaderId, candidateId })
  return late(input) ?? stay(merge([move, waitFor('another member to lead', lookMs)]), 'another member to lead')
}

function moved({ member }: Leader, candidateId: string | null): Decision {
  if (candidateId === null || member.id === candidateId) return enter('awaitingReplicas', `member ${member.ordinal} leads`)
  return failed('OtherMemberLeads', `member ${member.ordinal} leads now, which was not the chosen one: the old leader was lost meanwhile`, 'Ask for the switchover again if the chosen member is to lead.')
}

function awaitingReplicas(input: MachineInput, { instance, leader }: ClusterNow): Decision {
  if (isWhole(input.observed, instance)) return succeeded(`member ${leader?.member.ordinal ?? 0} leads, and every replica is synchronous`)
  if (stillForMs(input) > rejoinMs) return failed('ReplicasMissing', `another member leads, but not every replica was synchronous again within ${rejoinMs / 60_000} minutes`, 'Look at the condition ReplicationHealthy: it says what is done about it.')
  return waits('every replica to be synchronous', lookMs)
}

function late(input: MachineInput): Decision | null {
  if (stillForMs(input) <= moveMs) return null
  return failed('NotMoved', `the leader did not move within ${moveMs / 60_000} minutes`, 'The old leader serves on. Look at the condition ReplicationHealthy, and ask again when it is true.')
}
