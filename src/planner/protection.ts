/** How well a database is protected against losing its data: its backups and its WAL archive. */
import { claim, type ConditionClaim } from '../domain/conditions.ts'
import type { Backup, Instance } from '../domain/desired.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import type { PlanInput } from '../domain/part.ts'
import { walRoleName } from '../domain/prepared.ts'
import { hasWalGap, walSlotOf } from '../domain/reading.ts'
import { tiers } from '../domain/tiers.ts'
import { latestDue } from './schedule.ts'

/** A scheduled backup may take this long before its absence is a fault. */
const backupGraceMs = 2 * 60 * 60_000
/** WAL held back for the archive beyond this, in bytes, means that shipping does not keep up. */
const archiveBehindBytes = 256 * 1024 * 1024
/** An archive is behind when the newest WAL file in the store is older than this many archive timeouts, with WAL waiting. */
const archiveBehindTimeouts = 5

export function backupsHealthy(input: PlanInput, instance: Instance | undefined): ConditionClaim {
  const own = input.desired.backups.filter((backup) => backup.instanceId === instance?.id)
  const good = own.find((backup) => backup.state === 'verified')
  const ended = own.find((backup) => backup.state === 'verified' || backup.state === 'failed')
  if (ended?.state === 'failed') return claim('BackupsHealthy', 'false', 'LastBackupFailed', `The last backup failed: ${ended.failure?.message ?? 'no reason was given'}. The schedule takes the next one; to try now, request one.`)
  if (good === undefined) return claim('BackupsHealthy', 'false', 'NoBackupYet', 'No backup has been taken and read back yet; the first one is taken as soon as the database accepts writes.')
  const late = lateSince(input, own)
  if (late !== null) return claim('BackupsHealthy', 'false', 'BackupLate', `The backup due at ${late.toISOString()} was not taken: ${whyLate(input, own)}. It is taken as soon as that is over.`)
  return claim('BackupsHealthy', 'true', 'Verified', `The last backup (${good.kind}) was read back at ${good.verifiedAt?.toISOString() ?? 'an unknown time'}.`)
}

function lateSince({ desired, schedule, now }: PlanInput, own: readonly Backup[]): Date | null {
  const before = new Date(now.getTime() - backupGraceMs)
  const due = latestDue(schedule, before)
  if (due === null || due < desired.database.createdAt) return null
  return own.some((backup) => backup.state === 'verified' && backup.requestedAt >= due) ? null : due
}

function whyLate({ observed }: PlanInput, own: readonly Backup[]): string {
  if (!observed.objectStore.known) return observed.objectStore.reason
  return own.find((backup) => backup.failure !== null)?.failure?.message ?? 'it has not ended yet'
}

export function walArchived(input: PlanInput, instance: Instance | undefined, primary: PostgresSeen | null): ConditionClaim {
  const archive = instance === undefined ? undefined : input.observed.archives.get(instance.id)
  if (!input.observed.objectStore.known) return claim('WalArchived', 'false', 'StoreUnreachable', `The object store does not answer (${input.observed.objectStore.reason}); WAL is kept at the database within its limit meanwhile.`)
  if (primary === null || archive === undefined || !archive.known) return claim('WalArchived', 'unknown', 'NotSeen', 'The archive was not looked at yet.')
  const slot = walSlotOf(primary)
  if (hasWalGap(primary)) return claim('WalArchived', 'false', 'WalGap', 'The archive fell so far behind that WAL was given up; it begins anew, and a backup closes the gap.')
  // the agent streams without the slot, so that it can never stand for a synchronous standby: its session tells that it receives
  const receives = primary.roles.some((role) => role.name === walRoleName && role.sessions > 0)
  if (slot === undefined || !receives) return claim('WalArchived', 'false', 'NobodyReceives', 'The backup agent does not receive WAL; it is kept at the database within its limit, and the agent is started again.')
  if (slot.retainedBytes > archiveBehindBytes) return claim('WalArchived', 'false', 'Behind', `The backup agent is ${slot.retainedBytes} bytes of WAL behind; it is kept at the database within its limit. Look at the object store and at the logs of the agent.`)
  const { newestAt } = archive.value
  if (newestAt === null) return claim('WalArchived', 'unknown', 'NothingYet', 'No WAL has reached the archive yet.')
  const age = input.now.getTime() - newestAt.getTime()
  const limit = tiers[input.desired.database.tier].archiveTimeoutSeconds * 1_000 * archiveBehindTimeouts
  const waits = isAhead(primary, archive.value.newestWalFile)
  if (age > limit && waits) return claim('WalArchived', 'false', 'Behind', `The newest WAL in the archive is ${Math.round(age / 1_000)} s old while newer WAL waits. Look at the object store and at the logs of the backup agent.`)
  return claim('WalArchived', 'true', 'Archiving', 'WAL reaches the archive.')
}

/** Whether the primary finished more than the segment after the newest archived one: an idle database never does. */
function isAhead(primary: PostgresSeen, newest: string | null): boolean {
  if (newest === null) return true
  const archived = BigInt(`0x${newest.slice(8, 16)}`) * 256n + BigInt(`0x${newest.slice(16, 24)}`)
  const current = primary.lsn / 16_777_216n
  return current > archived + 1n
}
