/** The former server after an upgrade: when it is started, wound back, given up and taken down, and what is said of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Condition } from '../../src/domain/conditions.ts'
import type { Instance, Member } from '../../src/domain/desired.ts'
import type { Lsn } from '../../src/domain/lsn.ts'
import { patroniName } from '../../src/domain/names.ts'
import type { PostgresSeen, SlotSeen, WalSenderSeen } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { followerSlotName, walSlotName } from '../../src/domain/prepared.ts'
import { known, unknown } from '../../src/domain/sighting.ts'
import { planRollbackTarget, rollbackReady } from '../../src/planner/rollbackTarget.ts'
import { settledShop } from '../harness/world.ts'
import { idOf } from '../harness/worldStore.ts'

const { world, shop } = await settledShop()
const settled = world.look(shop)
const [first = assert.fail('no instance')] = settled.desired.instances
const [source = assert.fail('no member')] = first.members
const sourceSeen = settled.observed.postgres.get(source.id)
assert.ok(sourceSeen?.known === true)
const server: PostgresSeen = sourceSeen.value
const hour = 3_600_000
const later = new Date(settled.now.getTime() + hour)
const segment = 16n * 1024n * 1024n

const members = [1, 2, 3].map((ordinal): Member => ({ ...source, id: idOf(300 + ordinal), instanceId: idOf(300), ordinal, ports: { postgres: 1, backup: 2, patroni: 3 } }))
const cluster: Instance = { ...first, id: idOf(300), kind: 'cluster', role: 'serving', cluster: { scope: idOf(300), user: 'u', password: server as never }, members }
const slot = (name: string, more: Partial<SlotSeen> = {}): SlotSeen => ({ name, active: false, walStatus: 'reserved', retainedBytes: 0, ...more })
const sender = (applicationName: string, syncState: string): WalSenderSeen => ({ applicationName, state: 'streaming', syncState, flushLsn: server.lsn, replayLsn: server.lsn, copiedBytes: null })

interface Scene {
  readonly former?: Partial<PostgresSeen> | null
  readonly leader?: Partial<PostgresSeen>
  readonly streams?: boolean
  readonly whole?: boolean
  readonly leaderSlots?: readonly SlotSeen[]
  readonly keptUntil?: Date
  /** For how long RollbackReady has been false. */
  readonly notReadyForMs?: number
}

function sceneOf({ former = {}, leader: led = {}, streams = true, whole = true, leaderSlots = [slot(followerSlotName)], keptUntil = later, notReadyForMs }: Scene): { input: PlanInput; instance: Instance } {
  const instance: Instance = { ...first, role: 'rollbackTarget', keptUntil }
  const conditions: Condition[] = notReadyForMs === undefined ? [] : [{ type: 'RollbackReady', status: 'false', reason: 'NotFollowing', message: 'No.', changedAt: new Date(settled.now.getTime() - notReadyForMs) }]
  const replicas = members.slice(1).map(({ id }) => patroniName(id))
  const leader: PostgresSeen = {
    ...server, timeline: 3, slots: leaderSlots,
    walSenders: [...(whole ? replicas.map((name) => sender(name, 'sync')) : []), ...(streams ? [sender(followerSlotName, 'async')] : [])],
    ...led,
  }
  const input: PlanInput = {
    ...settled,
    desired: { ...settled.desired, instances: [instance, cluster], backups: [], database: { ...settled.desired.database, conditions } },
    observed: {
      ...settled.observed,
      postgres: new Map([
        [source.id, former === null ? unknown('it does not answer') : known({ ...server, inRecovery: true, receivedTimeline: 3, ...former }, settled.now)],
        ...members.map(({ id }) => [id, known(id === members[0]?.id ? leader : { ...server, inRecovery: true }, settled.now)] as const),
      ]),
      clusters: new Map([[cluster.id, known({
        systemIdentifier: server.systemIdentifier, leader: patroniName(idOf(301)), sync: { leader: patroniName(idOf(301)), standbys: replicas }, members: [], config: {}, prepared: true, isEmpty: false,
      }, settled.now)]]),
    },
  }
  return { input, instance }
}

function planned(scene: Scene) {
  const { input, instance } = sceneOf(scene)
  const { actions, records, blocked } = planRollbackTarget(input, instance)
  // the agent of its own time goes, whatever else is done
  return { actions: actions.filter(({ kind }) => kind !== 'removeContainer'), records, blocked }
}

const reason = (scene: Scene): string | undefined => rollbackReady(sceneOf(scene).input)[0]?.reason
const kinds = (scene: Scene): string[] => planned(scene).actions.map(({ kind }) => kind)

describe('a former server', () => {
  it('that follows is left alone', () => {
    assert.deepEqual(kinds({}), [])
    assert.equal(reason({}), 'Following')
  })

  it('is started once the cluster is whole, and not before', () => {
    assert.deepEqual(kinds({ former: null }), ['startServer'])
    assert.deepEqual(kinds({ former: null, whole: false }), [])
    assert.equal(reason({ former: null }), 'NotAnswering')
  })

  it('without room is no way back, as long as the leader has some', () => {
    const full = { storage: { totalBytes: 100, usedBytes: 97 } }
    assert.equal(reason({ former: full }), 'StorageFull')
    assert.equal(reason({ former: full, leader: full }), 'Following')
  })

  it('that could take writes blocks everything', () => {
    assert.equal(planned({ former: { inRecovery: false } }).blocked[0]?.reason, 'TwoServers')
  })

  it('that does not stream for a while, on an older timeline, is wound back; only beside a whole cluster', () => {
    const diverged = { streams: false, notReadyForMs: 20_000 }
    assert.deepEqual(kinds(diverged), ['rewindServer'])
    assert.equal(reason(diverged), 'NotFollowing')
    assert.deepEqual(kinds({ ...diverged, notReadyForMs: 5_000 }), [])
    // its connection comes about every time, and what it gets is of the timeline that ended
    assert.deepEqual(kinds({ ...diverged, streams: true, former: { receivedTimeline: 2 } }), ['rewindServer'])
    assert.deepEqual(kinds({ ...diverged, whole: false }), [])
    assert.deepEqual(kinds({ ...diverged, former: { timeline: 3 } }), [])
  })

  it('holds no more WAL than the archive still needs, and nothing for a follower of its own', () => {
    const shipped = [slot(followerSlotName), slot(walSlotName, { retainedBytes: Number(segment) })]
    const holding = (bytes: bigint): Scene => ({ leaderSlots: shipped, former: { lsn: server.lsn, slots: [slot(walSlotName, { retainedBytes: Number(bytes) })] } })
    assert.deepEqual(kinds(holding(2n * segment)), [])
    const [advance] = planned(holding(4n * segment)).actions
    assert.ok(advance?.kind === 'advanceSlot' && advance.slot === walSlotName)
    assert.deepEqual(kinds({ leaderSlots: shipped, former: { slots: [slot(followerSlotName), slot(walSlotName)] } }), ['dropSlot'])
  })

  it('that has no slot for the backup agent gets one, and one that was never used is not moved forward', () => {
    const shipped = [slot(followerSlotName), slot(walSlotName)]
    const [make] = planned({ leaderSlots: shipped, former: { slots: [] } }).actions
    assert.ok(make?.kind === 'makeSlot' && make.slot === walSlotName)
    const unused = slot(walSlotName, { walStatus: 'unused' })
    const far = (server.lsn + 64n * segment) as Lsn
    assert.deepEqual(kinds({ leaderSlots: shipped, former: { lsn: far, slots: [unused] } }), [])
    assert.deepEqual(kinds({ leaderSlots: [slot(followerSlotName), unused], former: { slots: [slot(walSlotName, { retainedBytes: Number(9n * segment) })] } }), [])
  })

  it('has its storage grown with that of the cluster, also while it does not answer', () => {
    const { input, instance } = sceneOf({ former: null })
    const storageBytes = input.desired.database.storageBytes + 1
    const grown = { ...input, desired: { ...input.desired, database: { ...input.desired.database, storageBytes } } }
    const grow = planRollbackTarget(grown, instance).actions.find(({ kind }) => kind === 'growDataVolume')
    assert.ok(grow?.kind === 'growDataVolume' && grow.memberId === source.id && grow.bytes === storageBytes)
  })

  it('is given up when the cluster does not have its WAL any more', () => {
    const { records } = planned({ leaderSlots: [slot(followerSlotName, { walStatus: 'lost' })] })
    assert.deepEqual(records.map((one) => (one.kind === 'event' ? one.note.reason : one.kind)), ['instanceRole', 'RollbackTargetLost'])
  })

  it('is taken down when its time is over, and not while the cluster lacks a replica or a backup', () => {
    const over = { keptUntil: settled.now }
    assert.deepEqual(planned({ ...over, whole: false }).records, [])
    assert.deepEqual(planned(over).records, [], 'there is no backup')
    const { input, instance } = sceneOf(over)
    const [backup = assert.fail('no backup')] = settled.desired.backups
    const verified = { ...backup, instanceId: cluster.id, state: 'verified' as const, requestedAt: settled.now }
    const { records } = planRollbackTarget({ ...input, desired: { ...input.desired, backups: [verified] } }, instance)
    assert.deepEqual(records.map((one) => (one.kind === 'event' ? one.note.reason : one.kind)), ['instanceRole', 'RollbackTargetRetired'])
  })
})

it('nothing is said of a way back where there is none', () => {
  assert.deepEqual(rollbackReady(settled), [])
})
