/** upgradeToHa: what it waits for, what it does once and never twice, and what it leaves behind when it gives up. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Instance, Member, Operation } from '../../src/domain/desired.ts'
import type { Lsn } from '../../src/domain/lsn.ts'
import type { PatroniSeen, PostgresSeen } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { followerSlotName } from '../../src/domain/prepared.ts'
import { proxyKey } from '../../src/domain/reading.ts'
import { known, type Sighting } from '../../src/domain/sighting.ts'
import { upgradeToHaMachine } from '../../src/operations/upgradeToHa.ts'
import { settledShop } from '../harness/world.ts'
import { idOf } from '../harness/worldStore.ts'

const survey = { serverVersion: 170_012, longestTransactionSeconds: 0, preparedTransactions: 0, logicalSlots: [], subscriptions: [], unloggedTables: [], missingExtensions: [], canBeFenced: true }
const { world, shop } = await settledShop()
const settled = world.look(shop)
const source = settled.desired.instances[0]?.members[0] ?? assert.fail('no member')
const sourceSeen = settled.observed.postgres.get(source.id)
assert.ok(sourceSeen?.known === true)
const server: PostgresSeen = sourceSeen.value

const members = [1, 2, 3].map((ordinal): Member => ({ ...source, id: idOf(300 + ordinal), instanceId: idOf(300), ordinal, ports: { postgres: 1, backup: 2, patroni: 3 } }))
const target: Instance = {
  ...(settled.desired.instances[0] ?? assert.fail('no instance')), id: idOf(300), kind: 'cluster', role: 'preparing', initialisedAt: null, systemIdentifier: null,
  cluster: { scope: idOf(300), user: 'u', password: server as never }, members,
}

/** A cluster that is being made has both. */
const proxyKeys = (settled.desired.endpoint?.proxies ?? []).map(({ slot }) => proxyKey(settled.desired.endpoint?.id ?? '', slot))
const [proxy = assert.fail('no proxy')] = settled.blueprints.proxies.values()

interface Scene {
  readonly phase: string
  readonly notes?: unknown
  readonly progress?: unknown
  readonly input?: unknown
  readonly haEnabled?: boolean
  readonly isReady?: boolean
  /** Since anything was seen to get on. */
  readonly stillMs?: number
  readonly slot?: boolean
  readonly patroni?: (member: Member) => Partial<PatroniSeen>
  readonly lsn?: (member: Member) => bigint
  /** How full the data volume of a member is, and of the server. */
  readonly share?: (member: Member) => number
  readonly instances?: readonly Instance[]
}

function decide({ phase, notes = {}, progress = null, input = {}, haEnabled = true, isReady = true, stillMs = 0, slot = true, patroni = () => ({}), lsn = () => server.lsn, share = () => 0.1, instances }: Scene) {
  const began = new Date(settled.now.getTime() - stillMs)
  const operation: Operation = {
    id: idOf(400), kind: 'upgradeToHa', machineVersion: 1, phase, input, notes, createdAt: began, phaseEnteredAt: began, progressedAt: began, progress,
  }
  const conditions = settled.desired.database.conditions.map((one) => (one.type === 'Ready' && !isReady ? { ...one, status: 'false' as const } : one))
  const storage = (member: Member): PostgresSeen['storage'] => ({ totalBytes: 1_000, usedBytes: share(member) * 1_000 })
  const config = (member: Member): string => settled.blueprints.members.get(source.id)?.configHash ?? member.id
  const follows = (member: Member): Sighting<PostgresSeen> => known({ ...server, inRecovery: true, lsn: lsn(member) as Lsn, configHash: config(member), storage: storage(member) }, settled.now)
  const reports = (member: Member): Sighting<PatroniSeen> => known({
    state: 'running', role: member.ordinal === 1 ? 'standbyLeader' : 'replica', timeline: 1, pendingRestart: false, replicationState: 'streaming', since: settled.now, ...patroni(member),
  }, settled.now)
  const slots = slot ? [...server.slots, { name: followerSlotName, active: true, walStatus: 'reserved', retainedBytes: 0 }] : server.slots
  const blueprint = settled.blueprints.members.get(source.id) ?? assert.fail('no blueprint')
  const scene: PlanInput = {
    ...settled,
    desired: {
      ...settled.desired, operation, team: { ...settled.desired.team, haEnabled }, database: { ...settled.desired.database, conditions, tier: 'standard' },
      instances: instances ?? [...settled.desired.instances, target],
    },
    blueprints: { ...settled.blueprints, proxies: new Map(proxyKeys.map((key) => [key, proxy])), members: new Map([...settled.blueprints.members, ...members.map((member) => [member.id, blueprint] as const)]) },
    observed: {
      ...settled.observed,
      proxies: new Map(proxyKeys.map((key) => [key, known({ configHash: proxy.configHash }, settled.now)])),
      postgres: new Map([[source.id, known({ ...server, slots, storage: storage(source) }, settled.now)], ...members.map((member) => [member.id, follows(member)] as const)]),
      patroni: new Map(members.map((member) => [member.id, reports(member)] as const)),
    },
  }
  const { part, next } = upgradeToHaMachine.decide({ ...scene, operation })
  return { actions: part.actions, records: part.records, next }
}

describe('the preflight', () => {
  it('asks the server once, writes down what it found, and goes on', () => {
    assert.deepEqual(decide({ phase: 'preflight' }).actions.map(({ kind }) => kind), ['surveySource'])
    const told = decide({ phase: 'preflight', notes: { survey } }).next
    assert.ok(told.to === 'stay' && JSON.stringify(told.progress?.['blockers']) === '[]')
    assert.deepEqual(decide({ phase: 'preflight', notes: { survey }, progress: {} }).next, { to: 'enter', phase: 'copying', because: 'nothing stands in its way' })
  })

  it('names everything that stands in the way, and takes the cluster-to-be down again', () => {
    const { next, records } = decide({ phase: 'preflight', haEnabled: false, notes: { survey: { ...survey, unloggedTables: ['public.scratch'], logicalSlots: ['cdc'] } }, progress: {} })
    assert.ok(next.to === 'finish' && next.outcome === 'failed' && next.failure?.code === 'PreflightFailed')
    for (const word of [/High availability/, /public\.scratch/, /cdc/]) assert.match(next.because, word)
    assert.deepEqual(records, [{ kind: 'instanceRole', instanceId: target.id, role: 'retired' }])
  })

  it('of a dry run ends well, whatever it found', () => {
    const { next, records } = decide({ phase: 'preflight', input: { dryRun: true }, haEnabled: false, notes: { survey }, progress: {}, instances: settled.desired.instances })
    assert.ok(next.to === 'finish' && next.outcome === 'succeeded')
    assert.deepEqual(records, [])
  })
})

describe('copying', () => {
  it('has the server keep its WAL first, and waits until every member streams closely', () => {
    assert.deepEqual(decide({ phase: 'copying', slot: false }).actions, [{ kind: 'makeSlot', memberId: source.id, slot: followerSlotName }])
    const waits = (scene: Partial<Scene>): boolean => decide({ phase: 'copying', ...scene }).next.to === 'stay'
    assert.ok(waits({ patroni: ({ ordinal }) => (ordinal === 2 ? { state: 'creating replica', replicationState: null } : {}) }))
    assert.ok(waits({ patroni: () => ({ role: 'replica' }) }), 'nobody follows the server for all')
    const { next } = decide({ phase: 'copying', patroni: () => ({ role: 'replica' }) })
    assert.partialDeepStrictEqual(next, { progress: { copiedBytes: null, copies: 0, totalBytes: server.databaseBytes } })
    assert.ok(waits({ lsn: ({ ordinal }) => (ordinal === 3 ? server.lsn - 64n * 1024n * 1024n : server.lsn) }))
    const again = decide({ phase: 'copying' })
    assert.deepEqual(again.actions, [{ kind: 'surveySource', operationId: idOf(400), memberId: source.id, again: true }])
    assert.equal(decide({ phase: 'copying', notes: { survey, surveyedAgain: true } }).next.to, 'enter')
    assert.equal(decide({ phase: 'copying', notes: { survey: { ...survey, unloggedTables: ['public.new'] }, surveyedAgain: true } }).next.to, 'finish', 'what came up meanwhile counts')
  })

  it('is not thrown away for a database that takes no connections for a moment, as while its controller is started anew', () => {
    const copied = (scene: Partial<Scene>) => decide({ phase: 'copying', notes: { survey, surveyedAgain: true }, isReady: false, ...scene }).next
    const first = copied({ progress: { lsn: '1' }, stillMs: 3_600_000 })
    assert.ok(first.to === 'stay' && first.waitingFor === 'the database to take connections')
    assert.equal(copied({ progress: first.progress, stillMs: 10_000 }).to, 'stay')
    assert.equal(copied({ progress: first.progress, stillMs: 61_000 }).to, 'finish', 'it lasts')
    assert.equal(copied({ haEnabled: false }).to, 'finish', 'something else is in the way, too')
  })

  it('waits for a member whose disk is full, and does not where the server has no more room', () => {
    const notes = { survey, surveyedAgain: true }
    const { next } = decide({ phase: 'copying', notes, share: ({ ordinal, id }) => (ordinal === 2 && id !== source.id ? 0.97 : 0.8) })
    assert.ok(next.to === 'stay')
    assert.match(next.waitingFor, /^member 2 to have room \(its data volume is 97 % full/)
    const full = decide({ phase: 'copying', notes, share: () => 0.97 }).next
    assert.ok(full.to === 'finish' && full.failure?.code === 'PreflightFailed' && /97 % full/.test(full.because))
  })

  it('is given up when it is cancelled: the cluster goes, the server is not touched', () => {
    const { next, records, actions } = decide({ phase: 'copying', notes: { cancelRequested: true } })
    assert.ok(next.to === 'finish' && next.outcome === 'cancelled')
    assert.deepEqual([actions, records], [[], [{ kind: 'instanceRole', instanceId: target.id, role: 'retired' }]])
  })
})

describe('moving clients', () => {
  const move = (notes: unknown) => decide({ phase: 'movingClients', notes })

  it('is written down before it is begun, and begun once: whoever finds it begun only brings it to an end', () => {
    const first = move({})
    assert.deepEqual(first.records, [{ kind: 'operationNoted', operationId: idOf(400), notes: { attempted: true } }])
    assert.ok(first.actions[0]?.kind === 'cutOver' && !first.actions[0].settleOnly)
    const again = move({ attempted: true })
    assert.deepEqual(again.records, [])
    assert.ok(again.actions[0]?.kind === 'cutOver' && again.actions[0].settleOnly)
  })

  it('ends in a change of places, or as it was', () => {
    const moved = move({ attempted: true, outcome: { kind: 'moved', systemIdentifier: '7', pauseMs: 800 } })
    assert.deepEqual(moved.records.map(({ kind }) => kind), ['placesChanged'])
    assert.ok(moved.next.to === 'enter' && moved.next.phase === 'awaitingReplicas')
    const back = move({ attempted: true, outcome: { kind: 'wentBack', reason: 'a transaction stayed open', pauseMs: 300 } })
    assert.deepEqual(back.records, [{ kind: 'instanceRole', instanceId: target.id, role: 'retired' }])
    assert.ok(back.next.to === 'finish' && back.next.failure?.code === 'WentBack' && /stayed open/.test(back.next.because))
  })

  it('is tried again from the copy on when nobody was held, twice and no more', () => {
    const unnoticed = { kind: 'wentBack', reason: 'the leader was lost', pauseMs: null, unnoticed: true }
    const { next, records } = move({ attempted: true, outcome: unnoticed, unnoticed: 1 })
    assert.deepEqual(records, [])
    assert.ok(next.to === 'enter' && next.phase === 'copying' && /the leader was lost/.test(next.because))
    assert.deepEqual(next.notes, { attempted: false, outcome: null, surveyedAgain: false, unnoticed: 2 })
    assert.ok(move(next.notes).actions.some((action) => action.kind === 'cutOver' && !action.settleOnly))
    assert.equal(move({ attempted: true, outcome: unnoticed, unnoticed: 2 }).next.to, 'finish')
  })

  it('is not begun when it was cancelled meanwhile, and brought to an end when it was begun', () => {
    assert.equal(move({ cancelRequested: true }).next.to, 'finish')
    assert.equal(move({ cancelRequested: true, attempted: true }).actions[0]?.kind, 'cutOver')
  })

  it('is over when the cluster serves, whoever wrote that', () => {
    const serving = { ...target, role: 'serving' } as const
    const { next } = decide({ phase: 'movingClients', notes: { attempted: true }, instances: [serving] })
    assert.ok(next.to === 'enter' && next.phase === 'awaitingReplicas')
  })
})
