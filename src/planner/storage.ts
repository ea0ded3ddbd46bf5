/**
 * The data volume's size and how full it is. Nearly full: said. Almost no room left: new transactions become
 * read-only before PostgreSQL runs into the wall; a session may still switch that off to delete what it does not need.
 */
import type { EventNote } from '../domain/action.ts'
import type { Desired, Member } from '../domain/desired.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import { act, lookAgain, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { wasSaid } from '../domain/reading.ts'
import { readOnlyAboveShare, usedShare, warnAboveShare, writableBelowShare } from '../domain/storage.ts'

/** Of a volume that is filling or full, whose customer waits for room: as often as PostgreSQL is asked at all. */
const tightLookMs = 20_000

/** Of a data volume that was seen. */
export function planSize({ desired, names }: PlanInput, member: Member): Part {
  const wanted = desired.database.storageBytes
  // a size that is not known although the volume is there: its maker died before he could tell; growing to the same size is harmless
  if (member.volumeBytes !== null && member.volumeBytes >= wanted) return nothing
  const name = names.dataVolume(member.id)
  return merge([
    act({ kind: 'growDataVolume', hostId: member.hostId, memberId: member.id, name, bytes: wanted }),
    waitFor(`the data volume to grow to ${wanted} bytes`, 500),
  ])
}

export function planReadOnly({ desired }: PlanInput, member: Member, seen: PostgresSeen): Part {
  const share = usedShare(seen)
  if (share === null) return nothing
  const isTight = share >= warnAboveShare || seen.defaultReadOnly
  return merge([planLadder(desired, member, share, seen), isTight ? lookAgain(tightLookMs) : nothing])
}

function planLadder(desired: Desired, member: Member, share: number, seen: PostgresSeen): Part {
  if (share >= readOnlyAboveShare && !seen.defaultReadOnly) {
    const switchOff = act({ kind: 'setReadOnly', memberId: member.id, readOnly: true })
    // on a full disk even this may fail, again and again
    return wasSaid(desired, 'StorageAvailable', 'StorageFull') ? switchOff : merge([switchOff, tell('error', 'StorageFull', fullMessage(share))])
  }
  if (share < writableBelowShare && seen.defaultReadOnly) {
    return merge([act({ kind: 'setReadOnly', memberId: member.id, readOnly: false }), tell('info', 'StorageAvailable', 'The data volume has room again: transactions may write.')])
  }
  return nothing
}

function tell(severity: EventNote['severity'], reason: string, message: string): Part {
  return record({ kind: 'event', note: { severity, reason, message } })
}

/** Of the event and of the condition. */
export function fullMessage(share: number): string {
  return `The data volume is ${Math.round(share * 100)} % full: new transactions are read-only until there is room. Delete data in a session with "set default_transaction_read_only = off", or choose more storage.`
}
