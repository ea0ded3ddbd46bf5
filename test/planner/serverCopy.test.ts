/** A server that is made beside a cluster for a downgrade: what it waits for, what it is given, and what is said of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Instance, Member, Operation } from '../../src/domain/desired.ts'
import { patroniName } from '../../src/domain/names.ts'
import type { ContainerSeen, PostgresSeen, SlotSeen } from '../../src/domain/observed.ts'
import type { Part, PlanInput } from '../../src/domain/part.ts'
import { followerSlotName } from '../../src/domain/prepared.ts'
import { known, unknown } from '../../src/domain/sighting.ts'
import { planRollbackTarget, rollbackReady } from '../../src/planner/rollbackTarget.ts'
import { settledShop } from '../harness/world.ts'
import { idOf, operationOf } from '../harness/worldStore.ts'

const { world, shop } = await settledShop()
const settled = world.look(shop)
const [first = assert.fail('no instance')] = settled.desired.instances
const [source = assert.fail('no member')] = first.members
const sourceSeen = settled.observed.postgres.get(source.id)
const engineSeen = settled.observed.engines.get(source.hostId)
assert.ok(sourceSeen?.known === true && engineSeen?.known === true)
const server: PostgresSeen = sourceSeen.value
const engine = engineSeen.value
const blueprint = settled.blueprints.members.get(source.id) ?? assert.fail('no blueprint')
const container = engine.containers.find(({ name }) => name === blueprint.name) ?? assert.fail('no container')

const leader: Member = { ...source, id: idOf(301), instanceId: idOf(300) }
const cluster: Instance = { ...first, id: idOf(300), kind: 'cluster', role: 'serving', systemIdentifier: server.systemIdentifier, cluster: { scope: idOf(300), user: 'u', password: server as never }, members: [leader] }
const empty: Instance = { ...first, role: 'rollbackTarget', keptUntil: null, initialisedAt: null, systemIdentifier: null, members: [{ ...source, volumeBytes: null }] }
const kept: SlotSeen = { name: followerSlotName, active: false, walStatus: 'reserved', retainedBytes: 0 }

interface Scene {
  readonly phase?: string | null
  readonly volume?: boolean
  readonly container?: Partial<ContainerSeen> | null
  readonly answers?: Partial<PostgresSeen>
  readonly leads?: boolean
  readonly leaderSlots?: readonly SlotSeen[]
  readonly admits?: boolean
  readonly instance?: Instance
}

function sceneOf({ phase = 'copying', volume = true, container: seen = null, answers, leads = true, leaderSlots = [kept], admits = true, instance = empty }: Scene): PlanInput {
  const operation: Operation | null = phase === null ? null : { ...operationOf(1, 'downgrade', {}, settled.now), phase }
  const others = engine.containers.filter(({ name }) => name !== blueprint.name)
  const volumes = engine.volumes.filter(({ name }) => volume || name !== settled.names.dataVolume(source.id))
  const leading: PostgresSeen = { ...server, slots: leaderSlots, configHash: admits ? blueprint.configHash : 'the former one' }
  return {
    ...settled,
    desired: { ...settled.desired, operation, instances: [instance, cluster], backups: [] },
    blueprints: { ...settled.blueprints, members: new Map([[source.id, blueprint], [leader.id, blueprint]]) },
    observed: {
      ...settled.observed,
      engines: new Map([[source.hostId, known({ ...engine, volumes, containers: seen === null ? others : [...others, { ...container, ...seen }] }, settled.now)]]),
      postgres: new Map([
        [source.id, answers === undefined ? unknown('nothing listens') : known({ ...server, inRecovery: true, ...answers }, settled.now)],
        [leader.id, known(leading, settled.now)],
      ]),
      clusters: new Map([[cluster.id, known({ systemIdentifier: server.systemIdentifier, leader: leads ? patroniName(leader.id) : null, sync: null, members: [], config: {}, prepared: true, isEmpty: false }, settled.now)]]),
    },
  }
}

function planned(scene: Scene): Part {
  return planRollbackTarget(sceneOf(scene), scene.instance ?? empty)
}

/** Without what is done to the volume's size, which was not written down yet. */
const kinds = (scene: Scene): string[] => planned(scene).actions.map(({ kind }) => kind).filter((kind) => kind !== 'growDataVolume')
const waitsFor = (scene: Scene): string => planned(scene).waitingFor.join('; ')

describe('a server that is made for a downgrade', () => {
  it('gets nothing before the database was looked at, and is removed when nobody asks for it', () => {
    assert.deepEqual(kinds({ phase: 'preflight', volume: false }), [])
    assert.deepEqual(planned({ phase: null }).records.map((one) => (one.kind === 'event' ? one.note.reason : one.kind)), ['instanceRole', 'DowngradeGivenUp'])
  })

  it('gets an empty volume, again when that is lost, and then its container, once the leader admits it and keeps what it will need', () => {
    assert.deepEqual(kinds({ volume: false }), ['createDataVolume'])
    assert.deepEqual([kinds({ leads: false }), kinds({ admits: false }), kinds({ leaderSlots: [] })], [[], [], []])
    assert.match(waitsFor({ leads: false }), /lead/)
    assert.match(waitsFor({ admits: false }), /admit/)
    assert.match(waitsFor({ leaderSlots: [] }), /keep/)
    assert.deepEqual(kinds({}), ['createContainer'])
  })

  it('is left to copy by itself, and started again when its container ended, whoever leads', () => {
    const running = { container: { state: 'running' } } as const
    assert.deepEqual(kinds(running), [])
    assert.match(waitsFor(running), /copied/)
    assert.deepEqual(kinds({ container: { state: 'exited', exitCode: 137 }, leads: false }), ['startContainer'])
  })

  it('that refuses to start is not taken for a server that was lost: nothing is retired', () => {
    const { records, blocked } = planned({ container: { state: 'exited', exitCode: 78 } })
    assert.deepEqual([records, blocked.map(({ reason }) => reason)], [[], ['StartRefused']])
  })

  it('counts as made when it answers as a follower with the data of the cluster, and only then', () => {
    const running = { state: 'running' } as const
    assert.deepEqual(planned({ container: running, answers: {} }).records, [{ kind: 'instanceInitialised', instanceId: first.id, systemIdentifier: server.systemIdentifier }])
    for (const answers of [{ inRecovery: false }, { systemIdentifier: '1' }]) {
      const { records, blocked } = planned({ container: running, answers })
      assert.deepEqual([records, blocked.map(({ reason }) => reason)], [[], ['ForeignData']])
    }
  })

  it('is no way back while it is empty', () => {
    assert.deepEqual(rollbackReady(sceneOf({})).map(({ status, reason }) => `${status} ${reason}`), ['false BeingCopied'])
  })

  it('that had a copy is given up like any other when its volume is gone', () => {
    const instance: Instance = { ...empty, initialisedAt: settled.now, systemIdentifier: server.systemIdentifier }
    assert.deepEqual(planned({ instance, volume: false }).records.map((one) => (one.kind === 'event' ? one.note.reason : one.kind)), ['instanceRole', 'RollbackTargetLost'])
  })
})
