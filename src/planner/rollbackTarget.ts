/**
 * The server that follows a cluster, so that the way back is open: the former one after an upgrade, or one that was made for a downgrade.
 * What must hold: it never comes up as more than a follower, it never fills the cluster's disks, and it goes only after the cluster was
 * seen to do without it.
 */
import { isWhole, receivesFrom } from '../domain/cluster.ts'
import type { Blueprint } from '../domain/blueprint.ts'
import { claim, type ConditionClaim } from '../domain/conditions.ts'
import { instanceWith, isMovingClients, rollbackTargetKeptMs, servingInstance, type Instance, type Member } from '../domain/desired.ts'
import type { ContainerSeen, PostgresSeen } from '../domain/observed.ts'
import { act, block, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { containerNamed, engineOf, primaryMember } from '../domain/reading.ts'
import { lacksRoom, percentUsed } from '../domain/storage.ts'
import { planContainer, refusedExitCode } from './containers.ts'
import { agentGone, planSlots, retire } from './followerParts.ts'
import { isBeingCopied, planServerCopy } from './serverCopy.ts'
import { planSize } from './storage.ts'

const soonMs = 250
const laterMs = 1_000
/** A new leader is found within seconds. */
const rewindAfterMs = 15_000

/** It begins once the new leader has replicas: until then nobody is to count on it. */
export function planRollbackTarget(input: PlanInput, instance: Instance): Part {
  const { desired, now } = input
  if (isBeingCopied(instance)) return planServerCopy(input, instance)
  const serving = servingInstance(desired)
  const lost = isMovingClients(desired) ? null : whyLost(input, instance, serving)
  if (lost !== null) return retire(instance, 'warning', 'RollbackTargetLost', `${lost}: there is no way back to it any more, and what is left of it is removed. The cluster serves on; its backups are the way to an earlier state.`)
  if (!isMovingClients(desired) && instance.keptUntil !== null && instance.keptUntil <= now) return planEnd(input, instance, serving)
  return merge([agentGone(input, instance), planSlots(input, instance), ...instance.members.map((member) => planFollowing(input, member, serving))])
}

/** Nothing is put in its place: the cluster serves without it. */
function whyLost({ observed, names }: PlanInput, { members }: Instance, serving: Instance | undefined): string | null {
  for (const { id, hostId } of members) {
    const engine = engineOf(observed, hostId)
    if (!engine.known) continue
    if (!engine.value.volumes.some(({ name }) => name === names.dataVolume(id))) return 'The data volume of the former server is gone'
    if (hasRefused(containerNamed(engine.value, names.member(id)))) return 'The former server refuses to start: its data are no database any more'
  }
  const slot = primaryOf(observed, serving)?.slots.find(({ name }) => name === followerSlotName)
  // given up rather than the cluster's disks filled
  return slot?.walStatus === 'lost' ? 'The former server fell so far behind that the cluster does not have its WAL any more' : null
}

function hasRefused(seen: ContainerSeen | undefined): boolean {
  return seen !== undefined && seen.state !== 'running' && seen.exitCode === refusedExitCode
}

function primaryOf(observed: PlanInput['observed'], serving: Instance | undefined): PostgresSeen | null {
  return serving === undefined ? null : primaryMember(observed, serving)?.postgres ?? null
}

interface Target {
  readonly hostId: string
  readonly containerId: string
  readonly name: string
}

function planFollowing(input: PlanInput, member: Member, serving: Instance | undefined): Part {
  const blueprint = input.blueprints.members.get(member.id)
  if (blueprint === undefined) return nothing
  const plan = planContainer(input, blueprint, 'the former server')
  // it is to hold whatever the cluster does
  const size = engineOf(input.observed, member.hostId).known ? planSize(input, member) : nothing
  return merge([size, plan.part, plan.running === null ? nothing : planServer(input, { member, blueprint, container: plan.running }, serving)])
}

interface Server {
  readonly member: Member
  readonly blueprint: Blueprint
  readonly container: ContainerSeen
}

function planServer(input: PlanInput, { member, blueprint, container }: Server, serving: Instance | undefined): Part {
  const { id: containerId, name } = container
  const target = { hostId: member.hostId, containerId, name }
  const seen = input.observed.postgres.get(member.id)
  if (seen?.known !== true) {
    if (serving === undefined || !isWhole(input.observed, serving)) return waitFor('the cluster to be whole, for the former server to follow it', laterMs)
    return merge([act({ kind: 'startServer', ...target }), waitFor('the former server to follow the cluster', laterMs)])
  }
  if (!seen.value.inRecovery) return block('TwoServers', `The former server (container ${name}) is not fenced and could take writes, although nobody is led there. Stop that container, and ask for help before anything else is done.`)
  if (seen.value.configHash !== blueprint.configHash) return merge([act({ kind: 'installFiles', blueprint, containerId }), waitFor('the former server to load its new configuration', soonMs)])
  return planRewind(input, seen.value, target, serving)
}

/** When the cluster goes on, on a newer timeline, and it does not follow there by itself. */
function planRewind({ desired, observed, now }: PlanInput, former: PostgresSeen, target: Target, serving: Instance | undefined): Part {
  const leader = serving === undefined ? null : primaryMember(observed, serving)
  if (leader === null || serving === undefined || !isWhole(observed, serving) || isMovingClients(desired)) return nothing
  if (receivesFrom(leader.postgres, former, followerSlotName) || former.timeline >= leader.postgres.timeline) return nothing
  if (lacksRoom(former, leader.postgres)) return nothing
  const condition = desired.database.conditions.find(({ type, status, reason }) => type === 'RollbackReady' && status === 'false' && reason === 'NotFollowing')
  const isOld = condition !== undefined && now.getTime() - condition.changedAt.getTime() > rewindAfterMs
  if (!isOld) return waitFor('the former server to stream from the leader', laterMs)
  return merge([act({ kind: 'rewindServer', ...target, leaderId: leader.member.id }), waitFor('the former server to be wound back to where the cluster goes on', laterMs)])
}

/** The last look before the way back is closed: the cluster is whole, and a backup of it was read back. */
function planEnd(input: PlanInput, instance: Instance, serving: Instance | undefined): Part {
  const { desired, observed } = input
  const since = Math.max((instance.keptUntil ?? input.now).getTime() - rollbackTargetKeptMs, serving?.initialisedAt?.getTime() ?? 0)
  const hasBackup = desired.backups.some((backup) => backup.instanceId === serving?.id && backup.state === 'verified' && backup.requestedAt.getTime() >= since)
  if (serving === undefined || !isWhole(observed, serving)) return waitFor('the cluster to be whole, before the former server is removed', laterMs)
  if (!hasBackup) return waitFor('a backup of the cluster, before the former server is removed', laterMs * 10)
  return retire(instance, 'info', 'RollbackTargetRetired', 'The former server is removed: the cluster has been serving for as long as was agreed, is whole, and has a backup of its own.')
}

/** None of a database that has no former server. */
export function rollbackReady({ desired, observed }: PlanInput): ConditionClaim[] {
  const instance = instanceWith(desired, 'rollbackTarget')
  const [member] = instance?.members ?? []
  if (instance === undefined || member === undefined) return []
  if (isBeingCopied(instance)) return [claim('RollbackReady', 'false', 'BeingCopied', 'A server is being made for a downgrade, and holds no copy of the data yet.')]
  const effect = instance.keptUntil === null ? 'clients are moved to it next' : `until ${instance.keptUntil.toISOString()} a rollback loses nothing, and clients wait for about a second`
  const seen = observed.postgres.get(member.id)
  const engine = engineOf(observed, member.hostId)
  if (!engine.known) return [claim('RollbackReady', 'unknown', 'HostUnreachable', `The host of the former server cannot be seen: ${engine.reason}.`)]
  const leader = primaryOf(observed, servingInstance(desired))
  if (leader === null) return [claim('RollbackReady', 'false', 'NoLeader', 'No member leads the cluster now, so the former server follows nobody.')]
  if (seen?.known !== true) return [claim('RollbackReady', 'false', 'NotAnswering', 'The former server does not answer yet. The condition Progressing says what is done about it.')]
  if (lacksRoom(seen.value, leader)) return [claim('RollbackReady', 'false', 'StorageFull', `The data volume of the former server is ${percentUsed(seen.value)} % full, and that of the leader is not: clients could not write there. Choose more storage if it stays so.`)]
  if (!receivesFrom(leader, seen.value, followerSlotName)) return [claim('RollbackReady', 'false', 'NotFollowing', 'The former server does not stream from the leader. If that lasts, it is wound back to where the cluster goes on.')]
  return [claim('RollbackReady', 'true', 'Following', `The server follows the cluster: ${effect}.`)]
}
