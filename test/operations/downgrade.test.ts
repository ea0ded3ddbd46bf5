/** downgrade: what it refuses, what it waits for while a server is made, and what becomes of that one however it ends. The move is in rollback.test.ts. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Instance } from '../../src/domain/desired.ts'
import type { Lsn } from '../../src/domain/lsn.ts'
import type { SlotSeen } from '../../src/domain/observed.ts'
import { copierName, followerSlotName, walSlotName } from '../../src/domain/prepared.ts'
import { downgradeMachine } from '../../src/operations/downgrade.ts'
import { idOf } from '../harness/worldStore.ts'
import { cluster, decide as decideOf, former, leaderId, server, settled, type Decided, type Scene } from './goingBack.ts'

const segment = 16n * 1024n * 1024n
const survey = {
  serverVersion: 170_002, longestTransactionSeconds: 0, preparedTransactions: 0, logicalSlots: [], subscriptions: [], unloggedTables: [], missingExtensions: [], canBeFenced: true,
}
const slot = (name: string, more: Partial<SlotSeen> = {}): SlotSeen => ({ name, active: true, walStatus: 'reserved', retainedBytes: 0, ...more })
const made: Instance = { ...former, role: 'rollbackTarget', keptUntil: null }
const empty: Instance = { ...made, initialisedAt: null, systemIdentifier: null }
const kept: Instance = { ...made, keptUntil: settled.now }
const retired = [{ kind: 'instanceRole', instanceId: former.id, role: 'retired' }]
const leaderSlots = [slot(followerSlotName), slot(walSlotName)]

const decide = (scene: Scene): Decided => decideOf(downgradeMachine, { instances: [made, cluster], leaderSlots, ...scene })
const looked = (more: object = {}): Scene => ({ phase: 'preflight', notes: { survey: { ...survey, ...more } }, progress: {}, instances: [empty, cluster] })
const copying = (scene: Partial<Scene> = {}): Decided => decide({ phase: 'copying', notes: { survey, surveyedAgain: true }, ...scene })

function waits({ next, actions, records }: Decided, what: RegExp): void {
  assert.ok(next.to === 'stay' && what.test(next.waitingFor), JSON.stringify(next))
  assert.deepEqual([actions, records], [[], []])
}

function fails({ next, records }: Decided, code: string, expected: unknown = retired): void {
  assert.ok(next.to === 'finish' && next.outcome === 'failed' && next.failure?.code === code, JSON.stringify(next))
  assert.deepEqual(records, expected)
}

describe('before a downgrade', () => {
  it('the leader is asked, and all that it says is written down before anything is begun', () => {
    waits(decide({ phase: 'preflight', leader: null }), /lead/)
    const { actions } = decide({ phase: 'preflight' })
    assert.deepEqual(actions, [{ kind: 'surveySource', operationId: idOf(400), memberId: leaderId, again: false }])
    const { next } = decide({ ...looked({ logicalSlots: ['cdc'] }), progress: null })
    assert.ok(next.to === 'stay' && JSON.stringify(next.progress).includes('LogicalSlots'))
    assert.deepEqual(decide(looked()).next, { to: 'enter', phase: 'copying', because: 'nothing stands in its way' })
  })

  it('what a copy would leave out, or an image without the program for it, ends it, and the server to be is thrown away', () => {
    for (const [found, told] of [[{ unloggedTables: ['public.scratch'] }, /scratch/], [{ logicalSlots: ['cdc'] }, /cdc/], [{ canBeFenced: false }, /image/]] as const) {
      const decided = decide(looked(found))
      fails(decided, 'PreflightFailed')
      assert.match(decided.next.to === 'finish' ? decided.next.because : '', told)
    }
  })

  it('a dry run only tells, whether a server is there or not', () => {
    const input = { dryRun: true }
    for (const [found, told] of [[{}, /nothing stands in the way/], [{ unloggedTables: ['public.scratch'] }, /scratch/]] as const) {
      const { next, records } = decide({ ...looked(found), instances: [cluster], input })
      assert.ok(next.to === 'finish' && next.outcome === 'succeeded' && told.test(next.because))
      assert.deepEqual(records, [])
    }
  })

  it('a server that follows since an upgrade is taken as a rollback takes it, and stays whatever happens', () => {
    const taken = (scene: Partial<Scene> = {}): Decided => decide({ ...looked(), notes: { survey, surveyedAgain: true }, instances: [kept, cluster], ...scene })
    assert.deepEqual(taken({ notes: { survey } }).actions.map((action) => action.kind === 'surveySource' && action.again), [true])
    assert.deepEqual(taken().next, { to: 'enter', phase: 'movingClients', because: 'the former server follows closely' })
    waits(taken({ streams: false }), /stream/)
    fails(taken({ streams: false, stillForMs: 61_000 }), 'NotReady', [])
    fails(decide({ ...looked({ logicalSlots: ['cdc'] }), instances: [kept, cluster] }), 'PreflightFailed', [])
    const { next, records } = taken({ notes: { cancelRequested: true } })
    assert.ok(next.to === 'finish' && next.outcome === 'cancelled')
    assert.deepEqual(records, [])
  })
})

describe('while a server is made for a downgrade', () => {
  it('its bytes are told while it is copied, then its position', () => {
    const copier = { applicationName: copierName, state: 'backup', syncState: 'async', flushLsn: null, replayLsn: null, copiedBytes: 4_096 }
    const first = copying({ instances: [empty, cluster], follower: null, streams: false, senders: [copier] })
    waits(first, /copied/)
    assert.deepEqual(first.next.to === 'stay' && first.next.progress, { copiedBytes: 4_096, totalBytes: server.databaseBytes })
    const then = copying({ follower: { lsn: (server.lsn - 64n * 1024n * 1024n) as Lsn } })
    waits(then, /catch up/)
    assert.deepEqual(then.next.to === 'stay' && then.next.progress, { lsn: (server.lsn - 64n * 1024n * 1024n).toString(16) })
  })

  it('nobody is moved before it was seen to hold the data, follows closely, and holds all that the archive still lacks', () => {
    waits(copying({ instances: [empty, cluster] }), /copied/)
    waits(copying({ streams: false }), /stream/)
    waits(copying({ leader: null }), /lead/)
    waits(copying({ follower: { slots: [] } }), /keep WAL/)
    waits(copying({ follower: { slots: [slot(walSlotName, { walStatus: 'unused' })] } }), /keep WAL/)
    waits(copying({ leaderSlots: [slot(followerSlotName), slot(walSlotName, { retainedBytes: Number(2n * segment) })] }), /agent to ship/)
    waits(copying({ leaderSlots: [slot(followerSlotName), slot(walSlotName, { walStatus: 'unused' })] }), /agent to ship/)
    const { next } = copying()
    assert.deepEqual(next, { to: 'enter', phase: 'movingClients', because: 'the new server follows closely' })
  })

  it('the leader is asked once more, and what was made meanwhile ends it', () => {
    assert.deepEqual(copying({ notes: { survey } }).actions.map((action) => action.kind === 'surveySource' && action.again), [true])
    fails(copying({ notes: { survey: { ...survey, unloggedTables: ['public.scratch'] }, surveyedAgain: true } }), 'PreflightFailed')
  })

  it('one that cannot become ready is thrown away, and the cluster serves on', () => {
    fails(copying({ leaderSlots: [slot(followerSlotName, { walStatus: 'lost' })] }), 'FollowerLost')
    fails(copying({ exitCode: 78 }), 'StartRefused')
    fails(copying({ instances: [empty, cluster], stillForMs: 3 * 60 * 60_000 }), 'NotCaughtUp')
    waits(copying({ instances: [empty, cluster], exitCode: 137 }), /copied/)
    const { next, records } = copying({ instances: [empty, cluster], notes: { survey, cancelRequested: true } })
    assert.ok(next.to === 'finish' && next.outcome === 'cancelled')
    assert.deepEqual(records, retired)
  })

  it('it is over when the server is gone, whoever took it away', () => {
    for (const phase of ['preflight', 'copying']) fails(decide({ phase, notes: { survey }, progress: {}, instances: [cluster] }), 'TargetMissing', [])
  })
})

describe('moving clients in a downgrade', () => {
  const moving = (scene: Partial<Scene> = {}): Decided => decide({ phase: 'movingClients', ...scene })

  it('is the move of a rollback', () => {
    assert.deepEqual(moving().actions, [{ kind: 'cutOver', operationId: idOf(400), fromId: cluster.id, toId: former.id, budgetMs: 5_000, window: 'hold', settleOnly: false }])
  })

  it('that went back, or was called off before it began, throws the new server away, and none that was there before', () => {
    const notes = { attempted: true, outcome: { kind: 'wentBack', reason: 'it took too long', pauseMs: 900 } }
    fails(moving({ notes }), 'WentBack')
    fails(moving({ notes, instances: [kept, cluster] }), 'WentBack', [])
    const { next, records } = moving({ notes: { cancelRequested: true } })
    assert.ok(next.to === 'finish' && next.outcome === 'cancelled')
    assert.deepEqual(records, retired)
  })

  it('is tried again when nobody was held, from where the readiness of either server is looked at', () => {
    const notes = { attempted: true, outcome: { kind: 'wentBack', reason: 'the leader was lost', pauseMs: null, unnoticed: true } }
    for (const [target, phase] of [[made, 'copying'], [kept, 'preflight']] as const) {
      const { next, records } = moving({ notes, instances: [target, cluster] })
      assert.ok(next.to === 'enter' && next.phase === phase)
      assert.deepEqual(records, [])
    }
  })

  it('is over when the server serves, and ends when the cluster follows it', () => {
    const instances = [{ ...former, role: 'serving' }, { ...cluster, role: 'preparing', keptUntil: settled.now }] as const
    const { next } = moving({ notes: { attempted: true }, instances })
    assert.ok(next.to === 'enter' && next.phase === 'awaitingFollower')
    const ended = decide({ phase: 'awaitingFollower', instances, follower: { inRecovery: false }, progress: {} }).next
    assert.ok(ended.to === 'finish' && ended.outcome === 'succeeded', JSON.stringify(ended))
  })
})
