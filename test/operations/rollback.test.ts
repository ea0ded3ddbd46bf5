/** rollback: what it waits for, what it does once, and how it ends. What both ways share is in upgradeToHa.test.ts. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Lsn } from '../../src/domain/lsn.ts'
import { rollbackMachine } from '../../src/operations/rollback.ts'
import { idOf } from '../harness/worldStore.ts'
import { cluster, decide as decideOf, former, server, settled, type Scene } from './goingBack.ts'

const decide = (scene: Scene) => decideOf(rollbackMachine, scene)
const survey = { serverVersion: 170_012, longestTransactionSeconds: 0, preparedTransactions: 0, logicalSlots: [], subscriptions: [], unloggedTables: [], missingExtensions: [], canBeFenced: true }
/** The leader has said what there is. */
const looked = (found: object = {}) => ({ phase: 'preflight', notes: { survey: { ...survey, ...found }, surveyedAgain: true }, progress: {} })

describe('before a rollback', () => {
  it('the former server has to stream from the leader, closely', () => {
    assert.deepEqual(decide(looked()).next, { to: 'enter', phase: 'movingClients', because: 'the former server follows closely' })
    const waits = (scene: Partial<Scene>, what: RegExp): void => {
      const { next, actions } = decide({ ...looked(), ...scene })
      assert.ok(next.to === 'stay' && what.test(next.waitingFor), JSON.stringify(next))
      assert.deepEqual(actions, [])
    }
    waits({ streams: false }, /stream/)
    waits({ follower: { receivedTimeline: 99 } }, /stream/)
    waits({ follower: null }, /answer/)
    waits({ follower: { lsn: (server.lsn - 64n * 1024n * 1024n) as Lsn } }, /catch up/)
    waits({ follower: { storage: { totalBytes: 100, usedBytes: 96 } } }, /have room .* 96 % full/)
    waits({ follower: { inRecovery: false } }, /follow the cluster/)
    waits({ follower: { systemIdentifier: '1' } }, /follow the cluster/)
    waits({ leader: null }, /lead/)
  })

  it('whoever wants to go back is told soon that there is no way now, and nothing was touched', () => {
    const { next, actions, records } = decide({ ...looked(), streams: false, stillForMs: 61_000 })
    assert.ok(next.to === 'finish' && next.outcome === 'failed' && next.failure?.code === 'NotReady' && /stream/.test(next.because))
    assert.deepEqual([actions, records], [[], []])
  })

  it('the leader is asked once what the former server does not hold: nobody goes back without that', () => {
    assert.deepEqual(decide({ phase: 'preflight' }).actions.map(({ kind }) => kind), ['surveySource'])
    const again = decide({ ...looked(), notes: { survey } }).actions
    assert.deepEqual(again.map((action) => action.kind === 'surveySource' && action.again), [true], 'and once more, when it follows closely')
    for (const notes of [{}, { survey }]) {
      const { next: ended } = decide({ phase: 'preflight', notes, progress: {}, stillForMs: 61_000 })
      assert.ok(ended.to === 'finish' && ended.failure?.code === 'NotReady', 'whoever cannot be asked is not asked for ever')
    }
    const told = decide({ ...looked(), progress: null }).next
    assert.ok(told.to === 'stay' && JSON.stringify(told.progress?.['blockers']) === '[]')
    const { next, records } = decide(looked({ unloggedTables: ['public.scratch'], logicalSlots: ['cdc'] }))
    assert.ok(next.to === 'finish' && next.failure?.code === 'PreflightFailed' && /cdc.*public\.scratch/.test(next.because))
    assert.deepEqual(records, [])
    assert.equal(decide(looked({ longestTransactionSeconds: 3_600 })).next.to, 'enter', 'a warning')
  })

  it('a dry run tells all of it at once, and ends well whatever that is', () => {
    const dry = (scene: Partial<Scene> = {}) => decide({ ...looked({ unloggedTables: ['public.scratch'] }), input: { dryRun: true }, ...scene })
    const { next } = dry({ streams: false })
    assert.ok(next.to === 'finish' && next.outcome === 'succeeded' && /stream.*public\.scratch/.test(next.because))
    const fine = dry({ ...looked(), input: { dryRun: true } }).next
    assert.ok(fine.to === 'finish' && fine.because === 'nothing stands in the way of a rollback')
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
    assert.deepEqual(actions, [{ kind: 'cutOver', operationId: idOf(400), fromId: cluster.id, toId: former.id, budgetMs: 5_000, window: 'hold', settleOnly: false }])
  })

  it('that went back leaves the way open: nothing is retired', () => {
    const { next, records } = decide({ phase: 'movingClients', notes: { attempted: true, outcome: { kind: 'wentBack', reason: 'it took too long', pauseMs: 900 } } })
    assert.deepEqual(records, [])
    assert.ok(next.to === 'finish' && next.failure?.code === 'WentBack')
  })

  it('is tried again when nobody was held: whether all is ready is looked at once more', () => {
    const { next } = decide({ phase: 'movingClients', notes: { attempted: true, outcome: { kind: 'wentBack', reason: 'the leader was lost', pauseMs: null, unnoticed: true } } })
    assert.ok(next.to === 'enter' && next.phase === 'preflight')
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
