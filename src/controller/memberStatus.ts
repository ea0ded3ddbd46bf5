/** What the API shows of each member, from what a pass saw. */
import { leaderOf, senderTo, type Leader } from '../domain/cluster.ts'
import { isFollower, servingInstance, type Instance, type Member } from '../domain/desired.ts'
import { syncStates, type MemberRole, type SyncState } from '../domain/liveStatus.ts'
import { lagBytes } from '../domain/lsn.ts'
import type { PatroniSeen, PostgresSeen } from '../domain/observed.ts'
import type { PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf, primaryOf } from '../domain/reading.ts'
import type { MemberStatus } from '../store/views.ts'

export function memberStatuses(input: PlanInput): ReadonlyMap<string, MemberStatus> {
  return new Map(input.desired.instances.flatMap((instance) => {
    const leader = instance.kind === 'cluster' ? leaderOf(input.observed, instance) : null
    if (isFollower(instance)) return instance.members.map((member): [string, MemberStatus] => [member.id, { ...statusOf(input, instance, leader, member), lagBytes: behindServing(input, member) }])
    return instance.members.map((member): [string, MemberStatus] => [member.id, statusOf(input, instance, leader, member)])
  }))
}

function statusOf({ observed, names }: PlanInput, instance: Instance, leader: Leader | null, member: Member): MemberStatus {
  const engine = engineOf(observed, member.hostId)
  const container = engine.known ? containerNamed(engine.value, names.member(member.id)) : undefined
  const postgres = known(observed.postgres.get(member.id))
  const patroni = known(observed.patroni.get(member.id))
  const role = instance.kind === 'cluster' ? clusterRole(leader, member, postgres, patroni) : serverRole(postgres)
  return {
    role,
    containerId: container?.id ?? null,
    timeline: postgres?.timeline ?? patroni?.timeline ?? null,
    lagBytes: role === 'leader' || role === 'primary' ? 0 : lagOf(leader, member),
    syncState: leader === null ? null : syncStateOf(leader, member),
    patroniState: patroni?.state ?? null,
  }
}

/** Of a follower: what it has yet to receive of what the serving instance wrote. */
function behindServing({ desired, observed }: PlanInput, { id }: Member): number | null {
  const serving = servingInstance(desired)
  const primary = serving === undefined ? null : primaryOf(observed, serving)
  const seen = known(observed.postgres.get(id))
  return primary === null || seen === null ? null : lagBytes(primary.lsn, seen.lsn)
}

function known<T>(seen: { readonly known: true; readonly value: T } | { readonly known: false } | undefined): T | null {
  return seen?.known === true ? seen.value : null
}

function serverRole(postgres: PostgresSeen | null): MemberRole | null {
  if (postgres === null) return null
  return postgres.inRecovery ? 'standby' : 'primary'
}

/** In Patroni's words. Who takes writes without holding the leader's key is neither: it is about to become a replica. */
function clusterRole(leader: Leader | null, { id }: Member, postgres: PostgresSeen | null, patroni: PatroniSeen | null): MemberRole | null {
  if (leader?.member.id === id) return 'leader'
  if (postgres !== null) return postgres.inRecovery ? 'replica' : null
  return patroni?.role === 'replica' ? 'replica' : null
}

/** By what the leader knows of it: what it has yet to replay. */
function lagOf(leader: Leader | null, { id }: Member): number | null {
  const replayed = leader === null ? null : senderTo(leader, id)?.replayLsn ?? null
  return leader === null || replayed === null ? null : lagBytes(leader.postgres.lsn, replayed)
}

function syncStateOf(leader: Leader, { id }: Member): SyncState | null {
  const state = senderTo(leader, id)?.syncState
  return syncStates.find((one) => one === state) ?? null
}
