/** What etcd needs from time to time: room when it says that it has none, its file made small again, and its leader elsewhere. */
import type { EtcdAlarm, EtcdClient, EtcdEndpoint, EtcdStatus } from '../clients/etcd.ts'
import { HoldfastError } from '../domain/errors.ts'

type Etcd = Pick<EtcdClient, 'cluster'>

export interface EtcdSeen {
  readonly endpoint: EtcdEndpoint
  /** Null: it does not answer. */
  readonly status: EtcdStatus | null
}

/** A file that is mostly holes is written anew: from this size on, and when more than half of it is unused. */
const defragmentFromBytes = 256 * 1024 * 1024
const usedShare = 0.5

export async function seeMembers(etcd: Etcd, endpoints: readonly EtcdEndpoint[], signal: AbortSignal): Promise<readonly EtcdSeen[]> {
  return Promise.all(endpoints.map(async (endpoint) => {
    const status = await etcd.cluster.status(endpoint, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      if (error instanceof HoldfastError && error.code === 'EtcdUnavailable') return null
      throw error
    })
    return { endpoint, status }
  }))
}

export function allServe(seen: readonly EtcdSeen[]): boolean {
  return seen.every(({ status }) => status !== null && status.leaderId !== null)
}

/** Errors: `EtcdUnavailable` when a member's data are damaged, or the majority is away. */
export async function giveRoom(etcd: Etcd, seen: readonly EtcdSeen[], signal: AbortSignal): Promise<void> {
  const alarms = await etcd.cluster.alarms(signal)
  if (alarms.length > 0) return relieve(etcd, seen, alarms, signal)
  const holey = leaderLast(seen).find(({ status }) =>
    status !== null && status.dbSizeBytes >= defragmentFromBytes && status.dbSizeInUseBytes < status.dbSizeBytes * usedShare)
  // it answers nothing meanwhile: one in a run
  if (holey !== undefined && allServe(seen)) await etcd.cluster.defragment(holey.endpoint, signal)
}

/** Its quota was reached, and it takes no write: history goes, then the holes, then the alarm. */
async function relieve(etcd: Etcd, seen: readonly EtcdSeen[], alarms: readonly EtcdAlarm[], signal: AbortSignal): Promise<void> {
  const corrupt = alarms.find(({ kind }) => kind === 'CORRUPT')
  if (corrupt !== undefined) {
    throw new HoldfastError('EtcdUnavailable', `The etcd member ${corrupt.memberId} says that its data are damaged`, {
      next: 'Remove the container and the data volume of that member: it is then replaced',
    })
  }
  await etcd.cluster.compact(signal)
  for (const { endpoint } of leaderLast(seen.filter(({ status }) => status !== null))) await etcd.cluster.defragment(endpoint, signal)
  for (const alarm of alarms) await etcd.cluster.disarm(alarm, signal)
}

function leaderLast(seen: readonly EtcdSeen[]): readonly EtcdSeen[] {
  const leads = ({ status }: EtcdSeen): boolean => status !== null && status.leaderId === status.memberId
  return [...seen.filter((one) => !leads(one)), ...seen.filter(leads)]
}

export interface EtcdAt {
  readonly endpoint: EtcdEndpoint
  readonly hostId: string
}

/**
 * Hands leadership to a member on another host, where there is one that serves: a frozen host that holds both a busy leader of a
 * cluster and the leader of etcd is the hardest to tell from a slow one. True when it leads elsewhere, by this or before.
 */
export async function keepEtcdLeaderOff(etcd: Etcd, members: readonly EtcdAt[], hostIds: ReadonlySet<string>, signal: AbortSignal): Promise<boolean> {
  if (members.every(({ hostId }) => hostIds.has(hostId))) return false
  const seen = await seeMembers(etcd, members.map(({ endpoint }) => endpoint), signal)
  const leaderAt = seen.findIndex(({ status }) => status !== null && status.leaderId === status.memberId)
  const leader = members[leaderAt]
  if (leader === undefined) return false
  if (!hostIds.has(leader.hostId)) return true
  // the one that has to catch up least
  const others = seen.filter(({ status }, at) => status?.leaderId != null && !hostIds.has(members[at]?.hostId ?? ''))
  const [next] = others.toSorted((one, other) => (other.status?.raftIndex ?? 0) - (one.status?.raftIndex ?? 0))
  return next?.status == null ? false : etcd.cluster.moveLeader(next.status.memberId, signal)
}
