/** How closely an instance follows the one that serves. Pure readings. */
import type { Instance } from '../domain/desired.ts'
import { receivesFrom } from '../domain/cluster.ts'
import { walSegmentBytes } from '../domain/lsn.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import { followerSlotName, walSlotName } from '../domain/prepared.ts'
import { slotPosition, type Primary } from '../domain/reading.ts'
import { lacksRoom, percentUsed } from '../domain/storage.ts'
import type { MachineInput } from './machine.ts'

const mostLagBytes = 16n * 1024n * 1024n

/** Of a cluster. Null when every member follows closely. */
export function behindOf({ observed }: MachineInput, target: Instance, { postgres }: Primary): string | null {
  let leads = 0
  for (const member of target.members) {
    const [patroni, seen] = [observed.patroni.get(member.id), observed.postgres.get(member.id)]
    if (patroni?.known !== true || seen?.known !== true) return `member ${member.ordinal} to be copied from the server`
    if (seen.value.systemIdentifier !== postgres.systemIdentifier) return `member ${member.ordinal} to hold the data of the server`
    if (patroni.value.role === 'standbyLeader') leads += 1
    if (patroni.value.replicationState !== 'streaming') return `member ${member.ordinal} to stream (${patroni.value.state})`
    if (postgres.lsn - seen.value.lsn > mostLagBytes) return `member ${member.ordinal} to catch up (${postgres.lsn - seen.value.lsn} bytes)`
  }
  return leads === 1 ? null : 'one member to follow the server for all'
}

/** Of a cluster that is to serve next: which member has no room for what its clients write. Null when each of them has. */
export function withoutRoom({ observed }: MachineInput, { members }: Instance, { postgres }: Primary): string | null {
  const full = members.flatMap(({ id, ordinal }) => {
    const seen = observed.postgres.get(id)
    return seen?.known === true && lacksRoom(seen.value, postgres) ? [roomOf(`member ${ordinal}`, seen.value)] : []
  })
  return full[0] ?? null
}

/** Of a server that follows a cluster. Null when it follows closely. */
export function serverBehind({ observed }: MachineInput, { members: [member] }: Instance, { postgres }: Primary): string | null {
  const seen = member === undefined ? undefined : observed.postgres.get(member.id)
  if (seen?.known !== true) return 'the former server to answer'
  if (!seen.value.inRecovery || seen.value.systemIdentifier !== postgres.systemIdentifier) return 'the former server to follow the cluster'
  if (lacksRoom(seen.value, postgres)) return roomOf('the former server', seen.value)
  if (!receivesFrom(postgres, seen.value, followerSlotName)) return 'the former server to stream from the leader'
  return postgres.lsn - seen.value.lsn > mostLagBytes ? `the former server to catch up (${postgres.lsn - seen.value.lsn} bytes)` : null
}

function roomOf(who: string, seen: PostgresSeen): string {
  return `${who} to have room (its data volume is ${percentUsed(seen)} % full; choose more storage if it stays so)`
}

/**
 * The backup agent goes on with the server from where it is with the leader: the server has to hold WAL from that segment on, or some
 * would be missing in the archive for ever. Null when it does.
 */
export function archiveBehind({ observed }: MachineInput, { members: [member] }: Instance, { postgres }: Primary): string | null {
  const seen = member === undefined ? undefined : observed.postgres.get(member.id)
  const held = seen?.known === true ? slotPosition(seen.value, walSlotName) : null
  if (held === null) return 'the new server to keep WAL for the backup agent'
  const shipped = slotPosition(postgres, walSlotName)
  const segment = BigInt(walSegmentBytes)
  return shipped !== null && held / segment <= shipped / segment ? null : 'the backup agent to ship what was written before the copy'
}
