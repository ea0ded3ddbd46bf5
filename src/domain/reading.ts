/** Readings of what is desired and what was seen that more than one concern needs. Pure look-ups, no decisions. */
import { isOwnCluster, leaderOf } from './cluster.ts'
import type { ConditionType } from './conditions.ts'
import type { BackupState, Desired, Endpoint, Instance, Member, Proxy } from './desired.ts'
import type { Lsn } from './lsn.ts'
import { internalName } from './names.ts'
import type { ContainerSeen, EngineSeen, JobSeen, Observed, PostgresSeen, SlotSeen } from './observed.ts'
import { walSlotName } from './prepared.ts'
import type { Sighting } from './sighting.ts'

export function engineOf(observed: Observed, hostId: string): Sighting<EngineSeen> {
  return observed.engines.get(hostId) ?? { known: false, reason: `no engine is configured for host ${hostId}` }
}

export function containerNamed(engine: EngineSeen, name: string): ContainerSeen | undefined {
  return engine.containers.find((container) => container.name === name)
}

export interface Primary {
  readonly member: Member
  readonly postgres: PostgresSeen
}

/**
 * The member of the instance that takes writes, as PostgreSQL itself says; never somebody else's cluster in its place, and
 * of a cluster only the one that leads it.
 */
export function primaryMember(observed: Observed, instance: Instance): Primary | null {
  if (instance.kind === 'cluster') return leaderOf(observed, instance)
  for (const member of instance.members) {
    const seen = observed.postgres.get(member.id)
    if (seen?.known === true && !seen.value.inRecovery && isOwnCluster(instance, seen.value)) return { member, postgres: seen.value }
  }
  return null
}

export function primaryOf(observed: Observed, instance: Instance): PostgresSeen | null {
  return primaryMember(observed, instance)?.postgres ?? null
}

/** Whether a backup is still being worked on; an instance has at most one such. */
export function isOpen(state: BackupState): boolean {
  return state === 'requested' || state === 'running' || state === 'verifying'
}

/** Whether the last pass said so already: an event is told once, however often its pass has to be repeated. */
export function wasSaid({ database }: Desired, type: ConditionType, reason: string): boolean {
  return database.conditions.some((condition) => condition.type === type && condition.reason === reason)
}

/** The slot through which the backup agent pulls WAL. */
export function walSlotOf(primary: PostgresSeen): SlotSeen | undefined {
  return primary.slots.find((slot) => slot.name === walSlotName)
}

/** From where on a slot holds WAL; null of one that holds none: it is not there, was never used, or is lost. */
export function slotPosition({ slots, lsn }: PostgresSeen, slot: string): Lsn | null {
  const seen = slots.find(({ name, walStatus }) => name === slot && walStatus !== 'lost' && walStatus !== 'unused')
  return seen === undefined ? null : (lsn - BigInt(Math.round(seen.retainedBytes))) as Lsn
}

/** Whether PostgreSQL has given up WAL that the archive needs: only a new backup closes the gap. */
export function hasWalGap(primary: PostgresSeen): boolean {
  return walSlotOf(primary)?.walStatus === 'lost'
}

/**
 * A job of an instance; undefined when it is seen not to have been started: not there, or made by somebody who died before
 * starting it. While its host cannot be seen it may well run.
 */
export function jobOf(observed: Observed, instance: Instance, jobId: string): Sighting<JobSeen> | undefined {
  const seen = observed.jobs.get(jobId)
  if (seen !== undefined) return seen.known && seen.value.container.state === 'created' ? undefined : seen
  const unseen = instance.members.map((member) => engineOf(observed, member.hostId)).find((engine) => !engine.known)
  return unseen?.known === false ? unseen : undefined
}

export function proxyKey(endpointId: string, slot: number): string {
  return `${endpointId}/${slot}`
}

/** A standalone is served by the first proxy, and the second slot is only reserved; unless a cluster is there, or on its way out, whose clients may know both. */
export function proxiesInUse({ database, instances }: Desired, endpoint: Endpoint): readonly Proxy[] {
  const count = database.topology === 'ha' || instances.some(({ kind }) => kind === 'cluster') ? 2 : 1
  return endpoint.proxies.filter((proxy) => proxy.slot < count)
}

/** The names by which customers reach a database: the endpoint's own and its alias in the project's network. */
export function endpointNames(desired: Desired): string[] {
  const { endpoint, database } = desired
  if (endpoint === null) return []
  const names = [endpoint.hostName, internalName.endpoint(endpoint.id), database.name, ...database.extraCertificateNames]
  return [...new Set(names)].sort()
}
