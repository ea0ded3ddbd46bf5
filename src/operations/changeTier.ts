/**
 * changeTier: the members of a cluster get another size, one at a time, the leader last. The size itself is part of what is
 * asked for, so the planner makes every member anew as it does for any change of its kind; the machine tells how far that
 * has come. It never takes anything down itself.
 * Phases: replacingReplicas → replacingLeader → awaitingReplicas. The way back is to ask for the old tier.
 */
import { isWhole } from '../domain/cluster.ts'
import type { Member } from '../domain/desired.ts'
import { label } from '../domain/names.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import { clusterNow, enter, failed, notACluster, stillForMs, succeeded, unknownPhase, waits, type ClusterNow } from './clusterMachine.ts'
import type { Decision, Machine, MachineInput } from './machine.ts'

const lookMs = 500
/** Without a member getting on for this long. */
const stallMs = 30 * 60_000

export const changeTierMachine: Machine = {
  kind: 'changeTier',
  version: 1,
  firstPhase: 'replacingReplicas',
  pointOfNoReturn: null,
  decide(input) {
    const now = clusterNow(input)
    if (now === null) return notACluster()
    const old = now.instance.members.filter((member) => !isReplaced(input, member))
    const progress = { replaced: now.instance.members.length - old.length, of: now.instance.members.length }
    switch (input.operation.phase) {
      case 'replacingReplicas':
        if (old.length === 0 || (old.length === 1 && old[0]?.id === now.leader?.member.id)) return enter('replacingLeader', 'every replica has its new size')
        return stalled(input) ?? waits('every replica to get its new size', lookMs, progress)
      case 'replacingLeader':
        if (old.length === 0) return enter('awaitingReplicas', 'every member has its new size')
        return stalled(input) ?? waits('another member to lead, and the old leader to get its new size', lookMs, progress)
      case 'awaitingReplicas':
        return awaitingReplicas(input, now)
    }
    return unknownPhase(input)
  },
}

function awaitingReplicas(input: MachineInput, { instance }: ClusterNow): Decision {
  // settings that count for the whole cluster are restarted into after the last member was made anew
  const waiting = instance.members.some(({ id }) => {
    const patroni = input.observed.patroni.get(id)
    return patroni?.known !== true || patroni.value.pendingRestart
  })
  if (isWhole(input.observed, instance) && !waiting) return succeeded('every member has its new size, and every replica is synchronous')
  return stalled(input) ?? waits('every replica to be synchronous', lookMs)
}

function isReplaced({ observed, names, blueprints }: MachineInput, { id, hostId }: Member): boolean {
  const engine = engineOf(observed, hostId)
  const blueprint = blueprints.members.get(id)
  const container = engine.known ? containerNamed(engine.value, names.member(id)) : undefined
  return blueprint !== undefined && container?.state === 'running' && container.labels[label.spec] === blueprint.specHash
}

function stalled(input: MachineInput): Decision | null {
  if (stillForMs(input) <= stallMs) return null
  return failed('ChangeStalled', `no member could be given its new size for ${stallMs / 60_000} minutes`, 'Members go on getting it as soon as they can: the conditions say what is waited for. To undo it, ask for the old tier.')
}
