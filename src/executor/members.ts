/**
 * What is done to a member of a cluster as such. Throwing a replica's data away is the only thing here that destroys any: it
 * asks etcd and the leader itself, before its container is ended and again when it is, and stops at the first doubt.
 */
import { z } from 'zod'
import type { EngineClient } from '../clients/docker.ts'
import { connectPatroni, type PatroniClient } from '../clients/patroni.ts'
import type { StoreRecord } from '../domain/action.ts'
import { scopePrefix } from '../domain/cluster.ts'
import { hostOf, type ClusterScope, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { internalName, patroniName, resourceNames } from '../domain/names.ts'
import type { ActionResult } from '../domain/ports.ts'
import { withPostgres, type PostgresTools } from './postgres.ts'
import { scopeOf, type ScopeTools } from './scope.ts'
import { removeVolume, type VolumeTools } from './volumes.ts'

export interface MemberTools extends ScopeTools {
  readonly postgres: PostgresTools
  readonly volumes: (hostId: string) => VolumeTools
}

export interface Discard {
  readonly instanceId: string
  readonly memberId: string
  readonly because: string
}

/**
 * Ends the container, removes it, and then its volume: wherever that is cut off, the next pass starts the member as it was, or
 * makes it anew and has it copied. Patroni's own way (`POST /reinitialize`) needs a Patroni that works, keeps a broken file
 * system, and leaves nothing that tells a copy that was begun from one that was not.
 */
export async function reinitialiseMember(tools: MemberTools, order: Discard, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const { instance, member } = memberOf(desired, order)
  const names = resourceNames(tools.installation)
  const volumes = tools.volumes(member.hostId)
  await requireOtherLeader(tools, instance, member, desired, signal)
  const container = await volumes.engine.findContainer(names.member(member.id), signal)
  if (container !== null) {
    await endAtOnce(volumes.engine, container.id, signal)
    // dead, it cannot have come to lead any more
    await requireOtherLeader(tools, instance, member, desired, signal)
    await volumes.engine.removeContainer(container.id, { force: false }, signal)
  }
  const name = names.dataVolume(member.id)
  const { records } = await removeVolume(volumes, { kind: 'removeVolume', hostId: member.hostId, name, memberId: member.id }, signal)
  const message = `The data of member ${member.ordinal} were thrown away, because ${order.because}. They are copied anew from the leader.`
  const note: StoreRecord = { kind: 'event', note: { severity: 'warning', reason: 'MemberRebuilding', message, facts: { memberId: member.id } } }
  return { records: [...records, note] }
}

/** Errors: `MemberIsLeader`, and `Conflict` when there is no leader that answers as one. */
async function requireOtherLeader({ etcd, installation, postgres }: MemberTools, instance: Instance, member: Member, desired: Desired, signal: AbortSignal): Promise<void> {
  const { entry } = await etcd.get(`${scopePrefix(installation, scopeOf(desired, instance.id))}leader`, signal)
  const leader = instance.members.find(({ id }) => patroniName(id) === entry?.value)
  if (leader?.id === member.id) throw new HoldfastError('MemberIsLeader', `Member ${member.ordinal} leads its cluster: its data are not thrown away`)
  if (leader === undefined) throw new HoldfastError('Conflict', `No member leads the cluster, so the data of member ${member.ordinal} are not thrown away`)
  await withPostgres(postgres, leader.id, desired, 'postgres', signal, async (connection) => {
    const [row] = await connection.query(leadsStatement, [], signal)
    if (row?.leads === true && (instance.systemIdentifier === null || row.systemIdentifier === instance.systemIdentifier)) return
    throw new HoldfastError('Conflict', `Member ${leader.ordinal} holds the leader's key but does not lead, so the data of member ${member.ordinal} are not thrown away`)
  })
}

const leadsStatement = {
  text: 'select not pg_catalog.pg_is_in_recovery() as leads, system_identifier::text as "systemIdentifier" from pg_catalog.pg_control_system()',
  row: z.object({ leads: z.boolean(), systemIdentifier: z.string() }),
}

const endWaitMs = 15_000

/** A member of a cluster loses nothing by it: what it has acknowledged lies elsewhere, too. */
export async function endAtOnce(engine: EngineClient, containerId: string, signal: AbortSignal): Promise<void> {
  if (await engine.killContainer(containerId, 'SIGKILL', signal)) await engine.waitExit(containerId, endWaitMs, signal)
}

/** Through its Patroni, which keeps its place in the cluster meanwhile. */
export async function restartPostgres(tools: MemberTools, order: { readonly instanceId: string; readonly memberId: string }, desired: Desired, signal: AbortSignal): Promise<void> {
  const { instance, member } = memberOf(desired, order)
  const scope = scopeOf(desired, instance.id)
  const reply = await patroniOf(tools.postgres, desired, scope, member).restart(signal)
  if (!reply.done) throw new HoldfastError('Conflict', `Patroni of member ${member.ordinal} did not restart its PostgreSQL (${reply.status}): ${reply.message}`)
}

export function patroniOf({ identity }: Pick<PostgresTools, 'identity'>, desired: Desired, scope: ClusterScope, member: Member): PatroniClient {
  if (member.ports.patroni === null) throw new Error(`member ${member.id} has no port for its Patroni`)
  const { certificatePem, keyPem } = identity()
  const address = {
    host: hostOf(desired, member.hostId).privateAddress, port: member.ports.patroni, serverName: internalName.member(member.id),
    ca: desired.trustBundlePem, cert: certificatePem, key: keyPem,
  }
  return connectPatroni(address, { username: scope.user, password: scope.password })
}

export function memberOf(desired: Desired, { instanceId, memberId }: { readonly instanceId: string; readonly memberId: string }): { readonly instance: Instance; readonly member: Member } {
  const instance = desired.instances.find(({ id }) => id === instanceId)
  const member = instance?.members.find(({ id }) => id === memberId)
  if (instance === undefined || member === undefined) throw new Error(`member ${memberId} is not among the members of database ${desired.database.id}`)
  return { instance, member }
}
