/** rollback: what it waits for, what it does once, and how it ends. What both ways share is in upgradeToHa.test.ts. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Instance, Member, Operation } from '../../src/domain/desired.ts'
import type { Lsn } from '../../src/domain/lsn.ts'
import { patroniName } from '../../src/domain/names.ts'
import type { PatroniSeen, PostgresSeen } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { followerSlotName } from '../../src/domain/prepared.ts'
import { proxyKey } from '../../src/domain/reading.ts'
import { known, unknown, type Sighting } from '../../src/domain/sighting.ts'
import { rollbackMachine } from '../../src/operations/rollback.ts'
import { settledShop } from '../harness/world.ts'
import { idOf } from '../harness/worldStore.ts'

const { world, shop } = await settledShop()
const settled = world.look(shop)
const [former = assert.fail('no instance')] = settled.desired.instances
const [source = assert.fail('no member')] = former.members
const sourceSeen = settled.observed.postgres.get(source.id)
assert.ok(sourceSeen?.known === true)
const server: PostgresSeen = sourceSeen.value
const [proxy = assert.fail('no proxy')] = settled.blueprints.proxies.values()
const blueprint = settled.blueprints.members.get(source.id) ?? assert.fail('no blueprint')

const members = [1, 2, 3].map((ordinal): Member => ({ ...source, id: idOf(300 + ordinal), instanceId: idOf(300), ordinal, ports: { postgres: 1, backup: 2, patroni: 3 } }))
const cluster: Instance = { ...former, id: idOf(300), kind: 'cluster', role: 'serving', cluster: { scope: idOf(300), user: 'u', password: server as never }, members }
const leaderId = idOf(301)

interface Scene {
  readonly phase: string
  readonly notes?: unknown
  readonly progress?: unknown
  readonly stillForMs?: number
  readonly instances?: readonly Instance[]
  readonly follower?: Partial<PostgresSeen> | null
  readonly streams?: boolean
  readonly leader?: string | null
}

function decide({ phase, notes = {}, progress = null, stillForMs = 0, instances, follower = {}, streams = true, leader = patroniName(leaderId) }: Scene) {
  const began = new Date(settled.now.getTime() - stillForMs)
  const operation: Operation = { id: idOf(400), kind: 'rollback', machineVersion: 1, phase, input: {}, notes, createdAt: began, phaseEnteredAt: began, progressedAt: began, progress }
  const sender = { applicationName: followerSlotName, state: 'streaming', syncState: 'async', flushLsn: server.lsn, replayLsn: server.lsn, copiedBytes: null }
  const ofMember = ({ id }: Member): Sighting<PostgresSeen> =>
    known({ ...server, inRecovery: id !== leaderId, walSenders: streams ? [sender] : [], configHash: blueprint.configHash }, settled.now)
  const standby: Sighting<PostgresSeen> = follower === null ? unknown('it does not answer') : known({ ...server, inRecovery: true, configHash: blueprint.configHash, ...follower }, settled.now)
  const reports = (member: Member): Sighting<PatroniSeen> => known({
    state: 'running', role: member.ordinal === 1 ? 'standbyLeader' : 'replica', timeline: 1, pendingRestart: false, replicationState: 'streaming', since: settled.now,
  }, settled.now)
  const proxyKeys = (settled.desired.endpoint?.proxies ?? []).map(({ slot }) => proxyKey(settled.desired.endpoint?.id ?? '', slot))
  const scene: PlanInput = {
    ...settled,
    desired: { ...settled.desired, operation, instances: instances ?? [{ ...former, role: 'rollbackTarget', keptUntil: settled.now }, cluster] },
    blueprints: {
      ...settled.blueprints, proxies: new Map(proxyKeys.map((key) => [key, proxy])),
      members: new Map([[source.id, blueprint], ...members.map((member) => [member.id, blueprint] as const)]),
    },
    observed: {
      ...settled.observed,
      proxies: new Map(proxyKeys.map((key) => [key, known({ configHash: proxy.configHash }, settled.now)])),
      postgres: new Map([[source.id, standby], ...members.map((member) => [member.id, ofMember(member)] as const)]),
      patroni: new Map(members.map((member) => [member.id, reports(member)] as const)),
      clusters: new Map([[cluster.id, known({ systemIdentifier: server.systemIdentifier, leader, sync: null, members: [], config: {}, prepared: true, isEmpty: false }, settled.now)]]),
    },
  }
  const { part, next } = rollbackMachine.decide({ ...scene, operation })
  return { actions: part.actions, records: part.records, next }
}

describe('before a rollback', () => {
  it('the former server has to stream from the leader, closely', () => {
    assert.deepEqual(decide({ phase: 'preflight' }).next, { to: 'enter', phase: 'movingClients', because: 'the former server follows closely' })
    const waits = (scene: Partial<Scene>, what: RegExp): void => {
      const { next, actions } = decide({ phase: 'preflight', ...scene })
      assert.ok(next.to === 'stay' && what.test(next.waitingFor), JSON.stringify(next))
      assert.deepEqual(actions, [])
    }
    waits({ streams: false }, /stream/)
    waits({ follower: null }, /answer/)
    waits({ follower: { lsn: (server.lsn - 64n * 1024n * 1024n) as Lsn } }, /catch up/)
    waits({ follower: { inRecovery: false } }, /follow the cluster/)
    waits({ follower: { systemIdentifier: '1' } }, /follow the cluster/)
    waits({ leader: null }, /lead/)
  })

  it('whoever wants to go back is told soon that there is no way now, and nothing was touched', () => {
    const { next, actions, records } = decide({ phase: 'preflight', streams: false, stillForMs: 61_000 })
    assert.ok(next.to === 'finish' && next.outcome === 'failed' && next.failure?.code === 'NotReady' && /stream/.test(next.because))
    assert.deepEqual([actions, records], [[], []])
  })

  it('it can be cancelled, and is over where there is no former server', () => {
    const cancelled = decide({ phase: 'preflight', notes: { cancelRequested: true } }).next
    assert.ok(cancelled.to === 'finish' && cancelled.outcome === 'cancelled')
    const gone = decide({ phase: 'preflight', instances: [cluster] }).next
    assert.ok(gone.to === 'finish' && gone.failure?.code === 'TargetMissing')
  })
})

describe('moving clients back', () => {
  it('is written down before it is begun, from the cluster to the server', () => {
    const { actions, records } = decide({ phase: 'movingClients' })
    assert.deepEqual(records, [{ kind: 'operationNoted', operationId: idOf(400), notes: { attempted: true } }])
    assert.deepEqual(actions, [{ kind: 'cutOver', operationId: idOf(400), fromId: cluster.id, toId: former.id, budgetMs: 5_000, settleOnly: false }])
  })

  it('that went back leaves the way open: nothing is retired', () => {
    const { next, records } = decide({ phase: 'movingClients', notes: { attempted: true, outcome: { kind: 'wentBack', reason: 'it took too long', pauseMs: 900 } } })
    assert.deepEqual(records, [])
    assert.ok(next.to === 'finish' && next.failure?.code === 'WentBack')
  })

  it('is over when the server serves, whoever wrote that', () => {
    const { next } = decide({ phase: 'movingClients', notes: { attempted: true }, instances: [former, { ...cluster, role: 'preparing' }] })
    assert.ok(next.to === 'enter' && next.phase === 'awaitingFollower')
  })
})

describe('after a rollback', () => {
  const serving = { ...former, role: 'serving' } as const
  const follower = { ...cluster, role: 'preparing', keptUntil: settled.now } as const
  const after = (scene: Partial<Scene>) => decide({ phase: 'awaitingFollower', instances: [serving, follower], follower: { inRecovery: false }, progress: {}, ...scene }).next

  it('what was measured is told first, and it ends when the cluster follows', () => {
    const told = after({ progress: null, notes: { outcome: { kind: 'moved', systemIdentifier: '7', pauseMs: 640, steps: { held: 20 } } } })
    assert.ok(told.to === 'stay')
    assert.deepEqual(told.progress, { pauseMs: 640, steps: { held: 20 } })
    const done = after({})
    assert.ok(done.to === 'finish' && done.outcome === 'succeeded')
  })

  it('a cluster that is gone, or does not follow, is no reason to doubt the server', () => {
    const gone = after({ instances: [serving] })
    assert.ok(gone.to === 'finish' && gone.outcome === 'succeeded')
    const late = after({ follower: null, stillForMs: 16 * 60_000 })
    assert.ok(late.to === 'finish' && late.failure?.code === 'ClusterDoesNotFollow')
  })
})
