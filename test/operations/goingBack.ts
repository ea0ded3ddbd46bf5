/** A cluster that serves and a server that follows it, as values: what a machine that goes back decides about them. */
import assert from 'node:assert/strict'
import type { Instance, Member, Operation } from '../../src/domain/desired.ts'
import { patroniName } from '../../src/domain/names.ts'
import type { EngineSeen, PatroniSeen, PostgresSeen, SlotSeen, WalSenderSeen } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { followerSlotName } from '../../src/domain/prepared.ts'
import { proxyKey } from '../../src/domain/reading.ts'
import { known, unknown, type Sighting } from '../../src/domain/sighting.ts'
import type { Decision, Machine } from '../../src/operations/machine.ts'
import { settledShop } from '../harness/world.ts'
import { idOf } from '../harness/worldStore.ts'

const { world, shop } = await settledShop()
export const settled = world.look(shop)
export const [former = assert.fail('no instance')] = settled.desired.instances
export const [source = assert.fail('no member')] = former.members
const sourceSeen = settled.observed.postgres.get(source.id)
assert.ok(sourceSeen?.known === true)
export const server: PostgresSeen = sourceSeen.value
const [proxy = assert.fail('no proxy')] = settled.blueprints.proxies.values()
const blueprint = settled.blueprints.members.get(source.id) ?? assert.fail('no blueprint')

export const members = [1, 2, 3].map((ordinal): Member => ({ ...source, id: idOf(300 + ordinal), instanceId: idOf(300), ordinal, ports: { postgres: 1, backup: 2, patroni: 3 } }))
export const cluster: Instance = { ...former, id: idOf(300), kind: 'cluster', role: 'serving', cluster: { scope: idOf(300), user: 'u', password: server as never }, members }
export const leaderId = idOf(301)

export interface Scene {
  readonly phase: string
  readonly notes?: unknown
  readonly progress?: unknown
  readonly stillForMs?: number
  readonly instances?: readonly Instance[]
  readonly follower?: Partial<PostgresSeen> | null
  readonly streams?: boolean
  readonly leader?: string | null
  readonly input?: unknown
  readonly leaderSlots?: readonly SlotSeen[]
  /** Of others than the follower. */
  readonly senders?: readonly WalSenderSeen[]
  /** What became of the container of the follower; it runs otherwise. */
  readonly exitCode?: number
}

export type Decided = Pick<Decision['part'], 'actions' | 'records'> & Pick<Decision, 'next'>

export function decide(machine: Machine, scene: Scene): Decided {
  const { phase, notes = {}, progress = null, stillForMs = 0, instances, follower = {}, streams = true, leader = patroniName(leaderId) } = scene
  const { input: ordered = {}, leaderSlots = server.slots, senders = [], exitCode } = scene
  const began = new Date(settled.now.getTime() - stillForMs)
  const operation: Operation = { id: idOf(400), kind: machine.kind, machineVersion: 1, phase, input: ordered, notes, createdAt: began, phaseEnteredAt: began, progressedAt: began, progress }
  const sender = { applicationName: followerSlotName, state: 'streaming', syncState: 'async', flushLsn: server.lsn, replayLsn: server.lsn, copiedBytes: null }
  const ofMember = ({ id }: Member): Sighting<PostgresSeen> =>
    known({ ...server, inRecovery: id !== leaderId, walSenders: [...senders, ...(streams ? [sender] : [])], slots: id === leaderId ? leaderSlots : [], configHash: blueprint.configHash }, settled.now)
  const standby: Sighting<PostgresSeen> = follower === null ? unknown('it does not answer') : known({ ...server, inRecovery: true, receivedTimeline: server.timeline, configHash: blueprint.configHash, ...follower }, settled.now)
  const reports = (member: Member): Sighting<PatroniSeen> => known({
    state: 'running', role: member.ordinal === 1 ? 'standbyLeader' : 'replica', timeline: 1, pendingRestart: false, replicationState: 'streaming', since: settled.now,
  }, settled.now)
  const proxyKeys = (settled.desired.endpoint?.proxies ?? []).map(({ slot }) => proxyKey(settled.desired.endpoint?.id ?? '', slot))
  const seen: PlanInput = {
    ...settled,
    desired: { ...settled.desired, operation, instances: instances ?? [{ ...former, role: 'rollbackTarget', keptUntil: settled.now }, cluster] },
    blueprints: {
      ...settled.blueprints, proxies: new Map(proxyKeys.map((key) => [key, proxy])),
      members: new Map([[source.id, blueprint], ...members.map((member) => [member.id, blueprint] as const)]),
    },
    observed: {
      ...settled.observed,
      engines: new Map([...settled.observed.engines].map(([hostId, engine]) => [hostId, exitCode === undefined ? engine : ended(engine, exitCode)] as const)),
      proxies: new Map(proxyKeys.map((key) => [key, known({ configHash: proxy.configHash }, settled.now)])),
      postgres: new Map([[source.id, standby], ...members.map((member) => [member.id, ofMember(member)] as const)]),
      patroni: new Map(members.map((member) => [member.id, reports(member)] as const)),
      clusters: new Map([[cluster.id, known({ systemIdentifier: server.systemIdentifier, leader, sync: null, members: [], config: {}, prepared: true, isEmpty: false }, settled.now)]]),
    },
  }
  const { part, next } = machine.decide({ ...seen, operation })
  return { actions: part.actions, records: part.records, next }
}

function ended(engine: Sighting<EngineSeen>, exitCode: number): Sighting<EngineSeen> {
  if (!engine.known) return engine
  const name = settled.names.member(source.id)
  return { ...engine, value: { ...engine.value, containers: engine.value.containers.map((one) => (one.name === name ? { ...one, state: 'exited', exitCode } : one)) } }
}
