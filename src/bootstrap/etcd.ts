/**
 * The embedded etcd: three members over the hosts there are, made once, then kept as they should be. A member that stopped is
 * started, one that lost its data is replaced while the others are a majority, and changes that need a restart go one member
 * at a time. Once formed, a cluster that has lost its majority's data is never begun anew: that would forget who leads.
 */
import { connectEtcd, type EtcdAccess, type EtcdClient } from '../clients/etcd.ts'
import { describeError, HoldfastError } from '../domain/errors.ts'
import { etcdContainer } from './etcd/blueprint.ts'
import { bringUp, lookAt, restart, tell, type Look, type Member } from './etcd/member.ts'
import { endpointOf } from './etcd/place.ts'
import { replaceMember } from './etcd/replace.ts'
import { servingInTime, type Serving } from './etcd/serving.ts'
import type { Report } from './progress.ts'

export type { Member as EtcdMemberParts } from './etcd/member.ts'
export { endpointOf, type EtcdPlace } from './etcd/place.ts'

export interface EnsureEtcdOptions {
  readonly members: readonly Member[]
  /** As `root`. */
  readonly access: EtcdAccess
  readonly formation: Formation
  readonly report: Report
  readonly signal: AbortSignal
}

/** Whether this cluster was ever there whole. It outlives what the members know. */
export interface Formation {
  isNoted(): Promise<boolean>
  note(): Promise<void>
}

/** Three new ones needed 2 s, on a machine that did nothing else. */
const formTimeoutMs = 90_000
/** One that has to catch up with the others, or to be elected with them. */
const serveTimeoutMs = 20_000
const shownLogLines = 15

/** Errors: `EtcdUnavailable` with the end of a log, `DataMissing`, `ResourceConflict` when a port is taken, `EngineUnreachable`. */
export async function ensureEtcd(options: EnsureEtcdOptions): Promise<void> {
  const client = connectEtcd(options.access)
  try {
    if (await options.formation.isNoted()) await keepUp(options, client)
    else await form(options, client)
  } finally {
    await client.close()
  }
}

/** Interrupted anywhere it goes on where it was: nothing of value is in it before it is noted. */
async function form(options: EnsureEtcdOptions, client: EtcdClient): Promise<void> {
  const { members, formation, report, signal } = options
  report({ step: 'etcd', detail: 'starting' })
  const joining = { state: 'new', cluster: members.map(({ place }) => place) } as const
  await Promise.all(members.map((member) => bringUp(member, joining, signal)))
  const serving = await Promise.all(members.map((member) => servingInTime(member, client, formTimeoutMs, signal)))
  const at = serving.findIndex((one) => one !== 'serves')
  if (at >= 0) throw await notServing(members, at, signal)
  await client.auth.enable(signal)
  await formation.note()
  await Promise.all(members.map((member) => tell(member, null, signal)))
}

async function keepUp(options: EnsureEtcdOptions, client: EtcdClient): Promise<void> {
  const { members, report, signal } = options
  const looks = await Promise.all(members.map((member) => mended(member, options)))
  // without a majority's data the others would be waited for in vain
  const isHopeless = looks.filter((look) => look === 'absent' || look === 'lost').length > members.length / 2
  const serving = await Promise.all(members.map(async (member, at): Promise<Serving> => {
    if (looks[at] === 'absent' || looks[at] === 'lost') return 'lost'
    return looks[at] === 'unknown' || isHopeless ? 'silent' : servingInTime(member, client, serveTimeoutMs, signal)
  }))
  const lost = members.filter((_, at) => serving[at] === 'lost')
  if (serving.filter((one) => one === 'serves').length <= members.length / 2) throw await withoutMajority(members, serving, signal)
  await client.auth.enable(signal)
  // one that is silent leaves no room for another that is away for a moment
  if (serving.includes('silent')) {
    report({ step: 'etcd', detail: `${named(members, serving, 'silent')} does not answer` })
    return
  }
  for (const member of lost) {
    report({ step: 'etcd', detail: `${containerOf(member)} has lost its data and is replaced` })
    await replaceMember(member, members, client, signal)
  }
  const outdated = members.filter((_, at) => looks[at] === 'outdated')
  for (const member of await leaderLast(outdated, client, signal)) {
    report({ step: 'etcd', detail: `${containerOf(member)} is restarted` })
    await restart(member, signal)
    if ((await servingInTime(member, client, serveTimeoutMs, signal)) !== 'serves') throw await notServing(members, members.indexOf(member), signal)
  }
}

/** What it was found as; stopped ones are started, running ones told what they read by themselves. A host that is away is no reason to stop. */
async function mended(member: Member, { report, signal }: EnsureEtcdOptions): Promise<Look | 'unknown'> {
  try {
    const look = await lookAt(member, signal)
    if (look === 'stopped') await bringUp(member, null, signal)
    if (look === 'running') await tell(member, null, signal)
    return look
  } catch (error) {
    signal.throwIfAborted()
    report({ step: 'etcd', detail: `${containerOf(member)}: ${describeError(error)}` })
    return 'unknown'
  }
}

async function leaderLast(members: readonly Member[], client: EtcdClient, signal: AbortSignal): Promise<readonly Member[]> {
  const leads = await Promise.all(members.map(async ({ place }) => {
    const { memberId, leaderId } = await client.cluster.status(endpointOf(place), signal)
    return memberId === leaderId
  }))
  const isLeader = (member: Member): boolean => leads[members.indexOf(member)] === true
  return [...members.filter((member) => !isLeader(member)), ...members.filter(isLeader)]
}

async function withoutMajority(members: readonly Member[], serving: readonly Serving[], signal: AbortSignal): Promise<HoldfastError> {
  const lost = serving.filter((one) => one === 'lost').length
  if (lost <= members.length / 2) return notServing(members, serving.findIndex((one) => one === 'silent'), signal)
  return new HoldfastError('DataMissing', `etcd has lost the data of ${named(members, serving, 'lost')}, and with them its majority`, {
    next: 'Put its newest snapshot back as docs/operations.md tells; nothing is begun anew, because that would forget who leads each cluster',
  })
}

async function notServing(members: readonly Member[], at: number, signal: AbortSignal): Promise<HoldfastError> {
  const member = members[at]
  if (member === undefined) return new HoldfastError('EtcdUnavailable', 'The embedded etcd does not serve')
  const name = containerOf(member)
  const log = await member.place.engine.logs(name, { tail: shownLogLines }, signal).catch((error: unknown) => describeError(error))
  return new HoldfastError('EtcdUnavailable', `The member ${name} of the embedded etcd does not serve`, { next: `See its log: docker logs ${name}`, facts: { log } })
}

function named(members: readonly Member[], serving: readonly Serving[], wanted: Serving): string {
  return members.filter((_, at) => serving[at] === wanted).map(containerOf).join(' and ')
}

function containerOf({ settings, place }: Member): string {
  return etcdContainer(settings.installation, place.ordinal)
}
