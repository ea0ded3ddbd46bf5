/**
 * restart: every member is restarted, one at a time: replicas first, then another member leads, then the old leader.
 * What must hold: a member goes down only while the leader leads and every replica is synchronous; whoever began a run after
 * the operation was asked for is done, so that a controller that died half-way restarts nobody twice.
 * Phase: restartingMembers. There is no way back and none is needed: every member that was restarted serves as before.
 */
import type { Member } from '../domain/desired.ts'
import { act, merge, waitFor } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import { nextRoll } from '../domain/rolling.ts'
import { isWhole } from '../domain/cluster.ts'
import { clusterNow, failed, notACluster, stillForMs, succeeded, unknownPhase, waits, type ClusterNow } from './clusterMachine.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'

const lookMs = 300
/** PostgreSQL's fast shutdown writes a checkpoint. */
const stopTimeoutSeconds = 60
/** Without a member getting on for this long. */
const stallMs = 20 * 60_000

export const restartMachine: Machine = {
  kind: 'restart',
  version: 1,
  firstPhase: 'restartingMembers',
  pointOfNoReturn: null,
  decide(input) {
    const now = clusterNow(input)
    if (now === null) return notACluster()
    return input.operation.phase === 'restartingMembers' ? restartingMembers(input, now) : unknownPhase(input)
  },
}

function restartingMembers(input: MachineInput, { instance }: ClusterNow): Decision {
  const { observed, operation } = input
  const unseen = instance.members.map(({ hostId }) => engineOf(observed, hostId)).find((engine) => !engine.known)
  if (unseen?.known === false) return waits(`every host to be seen (${unseen.reason})`, lookMs)
  const isDue = (member: Member): boolean => {
    const container = containerOf(input, member)
    return container?.state === 'running' && container.since <= operation.createdAt
  }
  const left = instance.members.filter((member) => isDue(member) || containerOf(input, member)?.state !== 'running').length
  const progress = { restarted: instance.members.length - left, of: instance.members.length }
  const step = nextRoll(observed, instance, isDue)
  switch (step.kind) {
    case 'done':
      return isWhole(observed, instance) ? succeeded('every member was restarted') : stalled(input) ?? waits('every replica to be synchronous', lookMs, progress)
    case 'wait':
      return stalled(input) ?? waits(step.what, lookMs, progress)
    case 'takeDown': {
      const container = containerOf(input, step.member)
      if (container === undefined) return waits('the member to be seen', lookMs, progress)
      const stop = act({ kind: 'stopContainer', hostId: step.member.hostId, containerId: container.id, name: container.name, timeoutSeconds: stopTimeoutSeconds, drains: { instanceId: instance.id, memberId: step.member.id } })
      const what = `member ${step.member.ordinal} to be restarted`
      return stay(merge([stop, waitFor(what, lookMs)]), what, progress)
    }
    case 'moveLeader': {
      const move = act({ kind: 'switchover', instanceId: instance.id, leaderId: step.leader.id, candidateId: null })
      return stalled(input) ?? stay(merge([move, waitFor('another member to lead', lookMs)]), 'another member to lead', progress)
    }
  }
}

function containerOf({ observed, names }: MachineInput, { id, hostId }: Member): ReturnType<typeof containerNamed> {
  const engine = engineOf(observed, hostId)
  return engine.known ? containerNamed(engine.value, names.member(id)) : undefined
}

function stalled(input: MachineInput): Decision | null {
  if (stillForMs(input) <= stallMs) return null
  return failed('RestartStalled', `no member could be restarted for ${stallMs / 60_000} minutes`, 'The members that were restarted serve as before. Look at the condition ReplicationHealthy, and ask again when it is true.')
}
