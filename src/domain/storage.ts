/** How full a data volume is, and from where on that matters. */
import type { PostgresSeen } from './observed.ts'

/** New transactions are read-only. */
export const readOnlyAboveShare = 0.95
export const writableBelowShare = 0.9
export const warnAboveShare = 0.85

/** Null while the member has not measured it. */
export function usedShare({ storage }: Pick<PostgresSeen, 'storage'>): number | null {
  return storage === null || storage.totalBytes === 0 ? null : storage.usedBytes / storage.totalBytes
}

export function percentUsed(seen: Pick<PostgresSeen, 'storage'>): number {
  return Math.round((usedShare(seen) ?? 0) * 100)
}

/** Of a follower: clients could not write there, or it cannot even follow, and that is not so where they are now. */
export function lacksRoom(follower: Pick<PostgresSeen, 'storage'>, serving: Pick<PostgresSeen, 'storage'>): boolean {
  return (usedShare(follower) ?? 0) >= readOnlyAboveShare && (usedShare(serving) ?? 0) < readOnlyAboveShare
}
