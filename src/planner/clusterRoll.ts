/**
 * New settings that a running member cannot take over: its container is made anew, or its PostgreSQL restarted, one member at
 * a time. An operation that takes members down itself goes first.
 */
import { isWhole } from '../domain/cluster.ts'
import type { Member } from '../domain/desired.ts'
import { nextRoll } from '../domain/rolling.ts'
import { act, merge, nothing, waitFor, type Part } from '../domain/part.ts'
import { isStale } from './clusterMember.ts'
import { containerOf, podOf, type ClusterScene } from './clusterScene.ts'

const soonMs = 300
const laterMs = 1_000
/** PostgreSQL's fast shutdown writes a checkpoint. */
const stopTimeoutSeconds = 60

export function planRoll(scene: ClusterScene): Part {
  const { input, instance } = scene
  const due = instance.members.filter((member) => isDue(scene, member))
  const pending = instance.members.filter((member) => isPending(scene, member))
  if (due.length === 0 && pending.length === 0) return nothing
  const { operation } = input.desired
  if (operation !== null && operation.kind !== 'changeTier') return waitFor(`the operation ${operation.kind} to end, to go on with the new settings`, laterMs)
  return due.length > 0 ? planReplacement(scene, due) : planRestart(scene, pending)
}

/** It runs with other settings than it should. */
export function isDue(scene: ClusterScene, member: Member): boolean {
  const { pods, members } = scene.input.blueprints
  const [blueprint, podBlueprint] = [members.get(member.id), pods.get(member.id)]
  const [seen, pod] = [containerOf(scene, member), podOf(scene, member)]
  if (blueprint === undefined || podBlueprint === undefined || seen?.state !== 'running') return false
  return isStale(seen, blueprint) || (pod !== undefined && isStale(pod, podBlueprint))
}

/** Stopped here; once it is seen stopped it is removed and made anew. */
function planReplacement(scene: ClusterScene, due: readonly Member[]): Part {
  const { input, instance } = scene
  const step = nextRoll(input.observed, instance, (member) => due.includes(member))
  switch (step.kind) {
    case 'done':
      return nothing
    case 'wait':
      return waitFor(`${step.what}, to go on with the new settings`, soonMs)
    case 'takeDown': {
      const seen = containerOf(scene, step.member)
      if (seen === undefined) return nothing
      const stop = act({ kind: 'stopContainer', hostId: step.member.hostId, containerId: seen.id, name: seen.name, timeoutSeconds: stopTimeoutSeconds, drains: { instanceId: instance.id, memberId: step.member.id } })
      return merge([stop, waitFor(`member ${step.member.ordinal} to be replaced with its new settings`, soonMs)])
    }
    case 'moveLeader': {
      const move = act({ kind: 'switchover', instanceId: instance.id, leaderId: step.leader.id, candidateId: null })
      return merge([move, waitFor('another member to lead, to replace the old leader', soonMs)])
    }
  }
}

function isPending({ input }: ClusterScene, { id }: Member): boolean {
  const seen = input.observed.patroni.get(id)
  return seen?.known === true && seen.value.pendingRestart
}

/**
 * What is left when every container is new: a setting of the whole cluster that got smaller. Replicas cannot go below the
 * leader (PostgreSQL would not start), so it is the leader's turn first, in its place.
 */
function planRestart({ input, instance, leader }: ClusterScene, pending: readonly Member[]): Part {
  if (leader === null || !isWhole(input.observed, instance)) return waitFor('every replica to be synchronous, to restart for the new settings', soonMs)
  const member = pending.find(({ id }) => id === leader.member.id) ?? pending[0]
  if (member === undefined) return nothing
  const restart = act({ kind: 'restartPostgres', instanceId: instance.id, memberId: member.id })
  return merge([restart, waitFor(`PostgreSQL of member ${member.ordinal} to be restarted with its new settings`, soonMs)])
}
