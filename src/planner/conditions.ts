/** The public answer, from what was seen: one function per condition. */
import { claim, type ConditionClaim } from '../domain/conditions.ts'
import { certificateKey, servingInstance, type Backup, type Database, type Instance } from '../domain/desired.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import { walRoleName } from '../domain/prepared.ts'
import { tiers } from '../domain/tiers.ts'
import { isSettled, type Part, type PlanInput } from '../domain/part.ts'
import { wantedCertificates } from './certificates.ts'
import { latestDue } from './schedule.ts'
import { readOnlyAboveShare, usedShare, warnAboveShare } from './storage.ts'
import { primaryOf, proxiesInUse, proxyKey, walSlotOf } from '../domain/reading.ts'

/** A scheduled backup may take this long before its absence is a fault. */
const backupGraceMs = 2 * 60 * 60_000
/** WAL held back for the archive beyond this, in bytes, means that shipping does not keep up. */
const archiveBehindBytes = 256 * 1024 * 1024
/** An archive is behind when the newest WAL file in the store is older than this many archive timeouts, with WAL waiting. */
const archiveBehindTimeouts = 5

export function planConditions(input: PlanInput, part: Part): ConditionClaim[] {
  const instance = servingInstance(input.desired)
  const primary = instance === undefined ? null : primaryOf(input.observed, instance)
  const missing = dataMissing(input, instance, part)
  const claims = [
    missing.status === 'true' ? claim('PrimaryAvailable', 'false', missing.reason, missing.message) : primaryAvailable(input, instance, primary),
    endpointAvailable(input),
    storageAvailable(primary),
    backupsHealthy(input, instance),
    walArchived(input, instance, primary),
    certificatesValid(input),
    progressing(input, part),
    paused(input),
    missing,
  ]
  return [ready(claims), ...claims]
}

function ready(claims: readonly ConditionClaim[]): ConditionClaim {
  const needed = claims.filter((one) => one.type === 'PrimaryAvailable' || one.type === 'EndpointAvailable')
  const missing = needed.find((one) => one.status !== 'true')
  if (missing === undefined) return claim('Ready', 'true', 'Serving', 'The database takes connections through its endpoint.')
  return claim('Ready', missing.status, missing.reason, missing.message)
}

function primaryAvailable(input: PlanInput, instance: Instance | undefined, primary: PostgresSeen | null): ConditionClaim {
  if (primary !== null) {
    const prepared = primary.databases.includes(input.desired.database.databaseName)
    return prepared
      ? claim('PrimaryAvailable', 'true', 'AcceptsWrites', 'PostgreSQL accepts writes.')
      : claim('PrimaryAvailable', 'false', 'Preparing', 'PostgreSQL runs; its roles and database are being prepared.')
  }
  if (instance === undefined) return unserved(input)
  const unseen = unseenHost(input, instance.members.map((member) => member.hostId))
  if (unseen !== null) return claim('PrimaryAvailable', 'unknown', 'HostUnreachable', unseen)
  const probe = instance.members.map((member) => input.observed.postgres.get(member.id)).find((seen) => seen !== undefined)
  if (probe?.known === true) return claim('PrimaryAvailable', 'false', 'InRecovery', 'PostgreSQL accepts no writes: it is recovering, or it is fenced.')
  return claim('PrimaryAvailable', 'false', 'NotAnswering', `PostgreSQL does not answer: ${probe === undefined ? 'its container does not run' : probe.reason}.`)
}

function unserved({ desired }: PlanInput): ConditionClaim {
  return desired.operation === null
    ? claim('PrimaryAvailable', 'false', 'RestoreFailed', 'The data could not be restored. Delete this database, and restore another backup or time; the source is untouched.')
    : claim('PrimaryAvailable', 'false', 'Restoring', 'The data is being restored.')
}

/** A host of these that cannot be seen: what it holds is unknown, not absent. */
function unseenHost({ desired, observed }: PlanInput, hostIds: readonly string[]): string | null {
  for (const hostId of hostIds) {
    const engine = observed.engines.get(hostId)
    const name = desired.hosts.find((host) => host.id === hostId)?.name ?? hostId
    if (engine?.known === false) return `The host ${name} cannot be seen: ${engine.reason}. It is asked again; what runs there goes on.`
  }
  return null
}

function endpointAvailable(input: PlanInput): ConditionClaim {
  const { endpoint } = input.desired
  if (endpoint === null) return claim('EndpointAvailable', 'false', 'NotMade', 'The endpoint is not made yet.')
  const proxies = proxiesInUse(input.desired, endpoint)
  const seen = proxies.map((proxy) => input.observed.proxies.get(proxyKey(endpoint.id, proxy.slot)))
  if (seen.some((proxy) => proxy?.known === true)) return claim('EndpointAvailable', 'true', 'Routing', 'The endpoint routes connections.')
  const unseen = unseenHost(input, proxies.map((proxy) => proxy.hostId))
  if (unseen !== null) return claim('EndpointAvailable', 'unknown', 'HostUnreachable', unseen)
  const reason = seen.find((proxy) => proxy !== undefined && !proxy.known)
  const why = reason?.known === false ? reason.reason : 'its container does not run'
  return claim('EndpointAvailable', 'false', 'NotAnswering', `The endpoint does not answer: ${why}.`)
}

function storageAvailable(primary: PostgresSeen | null): ConditionClaim {
  const share = primary === null ? null : usedShare(primary)
  if (primary === null || share === null) return claim('StorageAvailable', 'unknown', 'NotMeasured', 'The data volume was not measured yet.')
  const percent = Math.round(share * 100)
  if (primary.defaultReadOnly || share >= readOnlyAboveShare) {
    return claim('StorageAvailable', 'false', 'StorageFull', `The data volume is ${percent} % full and new transactions are read-only. Delete data in a session with "set default_transaction_read_only = off", or choose more storage.`)
  }
  if (share >= warnAboveShare) return claim('StorageAvailable', 'true', 'NearlyFull', `The data volume is ${percent} % full; at ${readOnlyAboveShare * 100} % new transactions become read-only. Choose more storage or delete data.`)
  return claim('StorageAvailable', 'true', 'EnoughRoom', `The data volume is ${percent} % full.`)
}

function backupsHealthy(input: PlanInput, instance: Instance | undefined): ConditionClaim {
  const own = input.desired.backups.filter((backup) => backup.instanceId === instance?.id)
  const good = own.find((backup) => backup.state === 'verified')
  const ended = own.find((backup) => backup.state === 'verified' || backup.state === 'failed')
  if (ended?.state === 'failed') return claim('BackupsHealthy', 'false', 'LastBackupFailed', `The last backup failed: ${ended.failure?.message ?? 'no reason was given'}. The schedule takes the next one; to try now, request one.`)
  if (good === undefined) return claim('BackupsHealthy', 'false', 'NoBackupYet', 'No backup has been taken and read back yet; the first one is taken as soon as the database accepts writes.')
  const late = lateSince(input, own)
  if (late !== null) return claim('BackupsHealthy', 'false', 'BackupLate', `The backup due at ${late.toISOString()} was not taken: ${whyLate(input, own)}.`)
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

function walArchived(input: PlanInput, instance: Instance | undefined, primary: PostgresSeen | null): ConditionClaim {
  const archive = instance === undefined ? undefined : input.observed.archives.get(instance.id)
  if (!input.observed.objectStore.known) return claim('WalArchived', 'false', 'StoreUnreachable', `The object store does not answer (${input.observed.objectStore.reason}); WAL is kept at the database within its limit meanwhile.`)
  if (primary === null || archive === undefined || !archive.known) return claim('WalArchived', 'unknown', 'NotSeen', 'The archive was not looked at yet.')
  const slot = walSlotOf(primary)
  // the agent streams without the slot, so that it can never stand for a synchronous standby: its session tells that it receives
  const receives = primary.roles.some((role) => role.name === walRoleName && role.sessions > 0)
  if (slot === undefined || !receives) return claim('WalArchived', 'false', 'NobodyReceives', 'The backup agent does not receive WAL; it is kept at the database within its limit, and the agent is started again.')
  if (slot.retainedBytes > archiveBehindBytes) return claim('WalArchived', 'false', 'Behind', `The backup agent is ${slot.retainedBytes} bytes of WAL behind.`)
  const { newestAt } = archive.value
  if (newestAt === null) return claim('WalArchived', 'unknown', 'NothingYet', 'No WAL has reached the archive yet.')
  const age = input.now.getTime() - newestAt.getTime()
  const limit = tiers[input.desired.database.tier].archiveTimeoutSeconds * 1_000 * archiveBehindTimeouts
  const waits = isAhead(primary, archive.value.newestWalFile)
  if (age > limit && waits) return claim('WalArchived', 'false', 'Behind', `The newest WAL in the archive is ${Math.round(age / 1_000)} s old while newer WAL waits.`)
  return claim('WalArchived', 'true', 'Archiving', 'WAL reaches the archive.')
}

/** Whether the primary finished more than the segment after the newest archived one: an idle database never does. */
function isAhead(primary: PostgresSeen, newest: string | null): boolean {
  if (newest === null) return true
  const archived = BigInt(`0x${newest.slice(8, 16)}`) * 256n + BigInt(`0x${newest.slice(16, 24)}`)
  const current = primary.lsn / 16_777_216n
  return current > archived + 1n
}

function certificatesValid({ desired, now }: PlanInput): ConditionClaim {
  const held = wantedCertificates(desired).flatMap(({ purpose, ownerId }) => desired.certificates.get(certificateKey(purpose, ownerId)) ?? [])
  const expired = held.find((certificate) => certificate.notAfter <= now)
  if (expired === undefined) return claim('CertificatesValid', 'true', 'Valid', 'All certificates are valid.')
  return claim('CertificatesValid', 'false', 'Expired', `The certificate of ${expired.commonName} expired at ${expired.notAfter.toISOString()}; a new one is issued.`)
}

function progressing({ desired }: PlanInput, part: Part): ConditionClaim {
  const [blocked] = part.blocked
  if (blocked !== undefined) return claim('Progressing', 'false', blocked.reason, blocked.message)
  if (desired.database.paused) return claim('Progressing', 'false', 'Paused', 'Nothing is done while the database is paused; resume it to go on.')
  if (desired.database.deletionRequestedAt !== null) return deleting(desired.database, part)
  if (isSettled(part)) return claim('Progressing', 'false', 'Settled', 'Everything is as asked for.')
  return claim('Progressing', 'true', 'Working', part.waitingFor.length === 0 ? 'Changes are being made.' : `Waiting for ${part.waitingFor.slice(0, 3).join('; ')}.`)
}

function deleting({ removedAt, backupsKeptUntil }: Database, part: Part): ConditionClaim {
  if (removedAt !== null && backupsKeptUntil !== null && isSettled(part)) {
    return claim('Progressing', 'false', 'BackupsKept', `The database is deleted; its backups are kept until ${backupsKeptUntil.toISOString()}.`)
  }
  return claim('Progressing', 'true', 'Deleting', part.waitingFor.length === 0 ? 'The database is being deleted.' : `Deleting; waiting for ${part.waitingFor.slice(0, 3).join('; ')}.`)
}

function paused({ desired }: PlanInput): ConditionClaim {
  return desired.database.paused
    ? claim('Paused', 'true', 'PausedByUser', 'The database is observed and reported but not acted on; resume it to go on.')
    : claim('Paused', 'false', 'Active', 'The database is acted on.')
}

function dataMissing(input: PlanInput, instance: Instance | undefined, part: Part): ConditionClaim {
  const missing = part.blocked.find((blocked) => blocked.reason === 'DataMissing')
  if (missing !== undefined) return claim('DataMissing', 'true', 'DataMissing', missing.message)
  const unseen = unseenHost(input, instance?.members.map((member) => member.hostId) ?? [])
  if (unseen !== null) return claim('DataMissing', 'unknown', 'HostUnreachable', unseen)
  return claim('DataMissing', 'false', 'DataPresent', 'The data is where it should be.')
}
