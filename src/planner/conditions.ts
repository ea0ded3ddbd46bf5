/** The public answer, from what was seen: one function per condition. */
import { claim, type ConditionClaim } from '../domain/conditions.ts'
import { certificateKey, servingInstance, type Database, type Instance } from '../domain/desired.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import { isSettled, type Part, type PlanInput } from '../domain/part.ts'
import { wantedCertificates } from './certificates.ts'
import { servingScene, type ClusterScene } from './clusterScene.ts'
import { backupsHealthy, walArchived } from './protection.ts'
import { clusterPrimary, replicationHealthy } from './replication.ts'
import { rollbackReady } from './rollbackTarget.ts'
import { fullMessage } from './storage.ts'
import { primaryOf, proxiesInUse, proxyKey } from '../domain/reading.ts'
import { readOnlyAboveShare, usedShare, warnAboveShare } from '../domain/storage.ts'

export function planConditions(input: PlanInput, part: Part): ConditionClaim[] {
  const instance = servingInstance(input.desired)
  const primary = instance === undefined ? null : primaryOf(input.observed, instance)
  const scene = servingScene(input)
  const missing = dataMissing(input, instance, part)
  const claims = [
    missing.status === 'true' ? claim('PrimaryAvailable', 'false', missing.reason, missing.message) : primaryAvailable(input, instance, primary, scene),
    ...(scene === null ? [] : [replicationHealthy(scene)]),
    ...rollbackReady(input),
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

function primaryAvailable(input: PlanInput, instance: Instance | undefined, primary: PostgresSeen | null, scene: ClusterScene | null): ConditionClaim {
  if (primary !== null) {
    const prepared = primary.databases.includes(input.desired.database.databaseName)
    const withheld = scene === null ? null : clusterPrimary(scene)
    if (withheld !== null) return withheld
    return prepared
      ? claim('PrimaryAvailable', 'true', 'AcceptsWrites', 'PostgreSQL accepts writes.')
      : claim('PrimaryAvailable', 'false', 'Preparing', 'PostgreSQL runs; its roles and database are being prepared.')
  }
  if (instance === undefined) return unserved(input)
  const unseen = unseenHost(input, instance.members.map((member) => member.hostId))
  if (unseen !== null) return claim('PrimaryAvailable', 'unknown', 'HostUnreachable', unseen)
  const leaderless = scene === null ? null : clusterPrimary(scene)
  if (leaderless !== null) return leaderless
  const probe = instance.members.map((member) => input.observed.postgres.get(member.id)).find((seen) => seen !== undefined)
  if (probe?.known === true) return claim('PrimaryAvailable', 'false', 'InRecovery', 'PostgreSQL accepts no writes: it is recovering, or it is fenced.')
  return claim('PrimaryAvailable', 'false', 'NotAnswering', `PostgreSQL does not answer: ${probe === undefined ? 'its container does not run' : probe.reason}. The condition Progressing says what is done about it.`)
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
  return claim('EndpointAvailable', 'false', 'NotAnswering', `The endpoint does not answer: ${why}. The condition Progressing says what is done about it.`)
}

function storageAvailable(primary: PostgresSeen | null): ConditionClaim {
  const share = primary === null ? null : usedShare(primary)
  if (primary === null || share === null) return claim('StorageAvailable', 'unknown', 'NotMeasured', 'The data volume was not measured yet.')
  const percent = Math.round(share * 100)
  if (primary.defaultReadOnly || share >= readOnlyAboveShare) {
    return claim('StorageAvailable', 'false', 'StorageFull', fullMessage(share))
  }
  if (share >= warnAboveShare) return claim('StorageAvailable', 'true', 'NearlyFull', `The data volume is ${percent} % full; at ${readOnlyAboveShare * 100} % new transactions become read-only. Choose more storage or delete data.`)
  return claim('StorageAvailable', 'true', 'EnoughRoom', `The data volume is ${percent} % full.`)
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
