/** rehearseUpgrade: what it does once and never twice, what it tells, and that whatever ends it, its copy is seen to go first. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import type { ConditionType } from '../../src/domain/conditions.ts'
import type { Operation, Rehearsal, RehearsedOperation } from '../../src/domain/desired.ts'
import { unknown } from '../../src/domain/sighting.ts'
import { rehearseUpgradeMachine } from '../../src/operations/rehearseUpgrade.ts'
import { settledShop } from '../harness/world.ts'
import { idOf } from '../harness/worldStore.ts'

const survey = { serverVersion: 170_012, longestTransactionSeconds: 0, preparedTransactions: 0, logicalSlots: [], subscriptions: [], unloggedTables: [], missingExtensions: [], canBeFenced: true }
const { world, shop } = await settledShop()
const settled = world.look(shop)
const [source = assert.fail('no member')] = settled.desired.instances[0]?.members ?? []
const operationId = idOf(400)
const copyId = idOf(500)
const made = { survey, copyId }
const hourMs = 3_600_000
const later = (seconds: number): Date => new Date(settled.now.getTime() + seconds * 1_000)

interface Scene {
  readonly phase: string
  readonly notes?: unknown
  readonly progress?: unknown
  readonly haEnabled?: boolean
  readonly answers?: boolean
  readonly stillForMs?: number
  readonly copy?: Rehearsal | null
}

function decide({ phase, notes = {}, progress = null, haEnabled = true, answers = true, stillForMs = 0, copy = null }: Scene) {
  const began = new Date(settled.now.getTime() - stillForMs)
  const operation: Operation = { id: operationId, kind: 'rehearseUpgrade', machineVersion: 1, phase, input: { budgetMs: 700 }, notes, createdAt: began, phaseEnteredAt: began, progressedAt: began, progress }
  const { desired, observed } = settled
  const scene = {
    ...settled,
    desired: { ...desired, operation, rehearsal: copy, team: { ...desired.team, haEnabled }, database: { ...desired.database, tier: 'standard' as const } },
    observed: answers ? observed : { ...observed, postgres: new Map([[source.id, unknown('it does not answer')]]) },
  }
  const { part, next } = rehearseUpgradeMachine.decide({ ...scene, operation })
  return { actions: part.actions, records: part.records, next }
}

function copyWith(changed: Partial<Rehearsal> = {}): Rehearsal {
  return { databaseId: copyId, name: 'shop-rehearsal-0000', conditions: [], isDeleting: false, leavesNothing: false, operation: null, ...changed }
}

function doing(kind: RehearsedOperation['kind'], changed: Partial<RehearsedOperation> = {}): RehearsedOperation {
  return { kind, phase: 'somewhere', progress: null, createdAt: settled.now, phaseEnteredAt: settled.now, finishedAt: null, outcome: null, failure: null, ...changed }
}

const done = { finishedAt: later(12), outcome: 'succeeded' } as const
const conditions = (...types: ConditionType[]): Rehearsal['conditions'] => types.map((type) => ({ type, status: 'true', reason: 'Fine', message: 'It is.', changedAt: settled.now }))
const failure = { code: 'WentBack', message: 'a transaction stayed open', next: 'Ask again.' }

const endingNotes = z.object({ ending: z.object({ outcome: z.string(), failure: z.object({ code: z.string(), message: z.string(), next: z.string() }).optional() }) })

function endingOf({ next }: ReturnType<typeof decide>): z.output<typeof endingNotes>['ending'] {
  assert.ok(next.to === 'enter' && next.phase === 'removing', JSON.stringify(next))
  return endingNotes.parse(next.notes).ending
}

describe('the preflight of a rehearsal', () => {
  it('is that of an upgrade: it asks the server once, writes down what it found, and goes on', () => {
    assert.deepEqual(decide({ phase: 'preflight' }).actions.map(({ kind }) => kind), ['surveySource'])
    const told = decide({ phase: 'preflight', notes: { survey } }).next
    assert.ok(told.to === 'stay' && JSON.stringify(told.progress?.['blockers']) === '[]')
    const { next, records } = decide({ phase: 'preflight', notes: { survey }, progress: {} })
    assert.deepEqual([next.to === 'enter' && next.phase, records], ['restoring', []])
  })

  it('ends it, with everything that is in the way, before there is a copy', () => {
    const { next, records } = decide({ phase: 'preflight', haEnabled: false, notes: { survey: { ...survey, unloggedTables: ['public.scratch'] } }, progress: {} })
    assert.ok(next.to === 'finish' && next.failure?.code === 'PreflightFailed')
    assert.match(next.because, /High availability.*public\.scratch/)
    assert.deepEqual(records, [])
  })

  it('waits for a server that does not answer, and can be cancelled meanwhile', () => {
    assert.equal(decide({ phase: 'preflight', answers: false }).next.to, 'stay')
    const { next } = decide({ phase: 'preflight', answers: false, notes: { cancelRequested: true } })
    assert.ok(next.to === 'finish' && next.outcome === 'cancelled')
  })
})

describe('restoring the copy', () => {
  it('is ordered until it was written down that it was, and then never again', () => {
    assert.deepEqual(decide({ phase: 'restoring', notes: { survey } }).records, [{ kind: 'rehearsalMade', operationId }])
    const { records, next } = decide({ phase: 'restoring', notes: made, copy: copyWith({ operation: doing('restore', { phase: 'restoringFiles', progress: { percent: 7 } }) }) })
    assert.deepEqual(records, [])
    assert.ok(next.to === 'stay' && JSON.stringify(next.progress).includes('"percent":7'), 'its progress is that of the copy')
    assert.equal(endingOf(decide({ phase: 'restoring', notes: made })).failure?.code, 'CopyRemoved', 'one that somebody deleted is not made again')
  })

  it('ends when the restore has ended, and takes down how long it took', () => {
    const { next } = decide({ phase: 'restoring', notes: { ...made, measured: { backup: 'set-1', databaseBytes: 24e6 } }, copy: copyWith({ operation: doing('restore', done) }) })
    assert.ok(next.to === 'enter' && next.phase === 'awaitingBackup')
    assert.deepEqual(next.notes, { measured: { backup: 'set-1', databaseBytes: 24e6, restoredInSeconds: 12 } })
  })

  it('is given up for the reason for which it was refused, or failed', () => {
    const refused = { code: 'NoCapacity', message: 'No host has room.', next: 'Add one.' }
    assert.deepEqual(endingOf(decide({ phase: 'restoring', notes: { survey, refused } })), { outcome: 'failed', failure: refused })
    const broken = copyWith({ operation: doing('restore', { ...done, outcome: 'failed', failure }) })
    assert.deepEqual(endingOf(decide({ phase: 'restoring', notes: made, copy: broken })), { outcome: 'failed', failure })
  })
})

describe('the copy before its upgrade', () => {
  it('has to be ready and to have a backup that was read back', () => {
    const next = (...types: ConditionType[]) => decide({ phase: 'awaitingBackup', notes: made, copy: copyWith({ conditions: conditions(...types), operation: doing('restore', done) }) }).next
    assert.ok([next(), next('Ready'), next('BackupsHealthy')].every(({ to }) => to === 'stay'))
    const ready = next('Ready', 'BackupsHealthy')
    assert.ok(ready.to === 'enter' && ready.phase === 'upgrading')
  })
})

describe('the upgrade of the copy', () => {
  it('is ordered on the terms of the rehearsal, once nobody does anything else to the copy, and then never again', () => {
    const order = { kind: 'rehearsalUpgradeOrdered', operationId, input: { dryRun: false, budgetMs: 700, window: 'hold' } }
    assert.deepEqual(decide({ phase: 'upgrading', notes: made, copy: copyWith({ operation: doing('restore', done) }) }).records, [order])
    assert.deepEqual(decide({ phase: 'upgrading', notes: made, copy: copyWith({ operation: doing('takeOverEndpoint') }) }).records, [])
    assert.deepEqual(decide({ phase: 'upgrading', notes: { ...made, upgradeId: idOf(9) }, copy: copyWith({ operation: doing('upgradeToHa', { phase: 'copying' }) }) }).records, [])
  })

  it('is told with its pause', () => {
    const upgrade = doing('upgradeToHa', { ...done, phase: 'awaitingReplicas', phaseEnteredAt: later(8.25), progress: { pauseMs: 640, steps: { stopped: 300 } } })
    const { next } = decide({ phase: 'upgrading', notes: { ...made, upgradeId: idOf(9), measured: { restoredInSeconds: 12 } }, copy: copyWith({ operation: upgrade }) })
    assert.ok(next.to === 'enter' && next.phase === 'removing')
    assert.deepEqual(next.notes, { ending: { outcome: 'succeeded' }, measured: { restoredInSeconds: 12, copiedInSeconds: 8.3, pauseMs: 640, steps: { stopped: 300 } } })
  })

  it('fails the rehearsal with the reason for which it failed itself', () => {
    const scene = (changed: Partial<RehearsedOperation>) => ({ phase: 'upgrading', notes: { ...made, upgradeId: idOf(9) }, copy: copyWith({ operation: doing('upgradeToHa', { ...done, ...changed }) }) })
    assert.deepEqual(endingOf(decide(scene({ outcome: 'failed', failure }))), { outcome: 'failed', failure })
    assert.equal(endingOf(decide(scene({ outcome: 'cancelled' }))).failure?.code, 'CopyCancelled')
  })
})

describe('a copy', () => {
  const phases = ['restoring', 'awaitingBackup', 'upgrading']

  it('goes when the rehearsal is cancelled, in every phase', () => {
    for (const phase of phases) assert.deepEqual(endingOf(decide({ phase, notes: { ...made, cancelRequested: true }, copy: copyWith() })), { outcome: 'cancelled' })
    assert.deepEqual(endingOf(decide({ phase: 'restoring', notes: { survey, cancelRequested: true } })), { outcome: 'cancelled' }, 'also when it is not made yet')
  })

  it('goes when somebody deletes it, or nothing happens to it for long', () => {
    for (const phase of phases) {
      assert.equal(endingOf(decide({ phase, notes: made, copy: copyWith({ isDeleting: true }) })).failure?.code, 'CopyRemoved')
      assert.equal(endingOf(decide({ phase, notes: made, copy: copyWith(), stillForMs: 13 * hourMs })).failure?.code, 'Stalled')
    }
  })
})

describe('removing the copy', () => {
  const succeeded = { ...made, ending: { outcome: 'succeeded' }, measured: { databaseBytes: 24_200_000, pauseMs: 640.4 } }
  const remove = (notes: unknown, copy: Rehearsal | null, more: Partial<Scene> = {}) => decide({ phase: 'removing', notes, copy, progress: {}, ...more })

  it('is asked for until it goes with its backups, but not while its clients are between two servers', () => {
    assert.deepEqual(remove(succeeded, copyWith()).records, [{ kind: 'rehearsalRemoved' }])
    assert.deepEqual(remove(succeeded, copyWith({ isDeleting: true })).records, [{ kind: 'rehearsalRemoved' }], 'who deleted it by hand may have kept its backups')
    assert.deepEqual(remove(succeeded, copyWith({ isDeleting: true, leavesNothing: true })).records, [])
    assert.deepEqual(remove(succeeded, copyWith({ operation: doing('upgradeToHa', { phase: 'movingClients' }) })).records, [])
  })

  it('ends in every ending only when it is gone', () => {
    for (const ending of [{ outcome: 'succeeded' }, { outcome: 'cancelled' }, { outcome: 'failed', failure }]) {
      assert.equal(remove({ ...made, ending }, copyWith({ isDeleting: true, leavesNothing: true })).next.to, 'stay')
      const { next } = remove({ ...made, ending }, null)
      assert.ok(next.to === 'finish' && next.outcome === ending.outcome)
    }
  })

  it('tells what was found, also when the copy was gone before that was written down', () => {
    const told = remove(succeeded, null, { progress: null }).next
    assert.ok(told.to === 'stay')
    assert.equal(told.progress?.['summary'], 'a rehearsal on a copy of 24 MB: clients would wait about 640 ms')
    const { next } = remove(succeeded, null)
    assert.ok(next.to === 'finish' && next.because === told.progress?.['summary'])
    const unmeasured = remove({ ...succeeded, measured: { pauseMs: null } }, null).next
    assert.match(unmeasured.to === 'finish' ? unmeasured.because : '', /not measured/)
    const { next: failed } = remove({ ...made, ending: { outcome: 'failed', failure } }, null)
    assert.deepEqual(failed.to === 'finish' && failed.failure, failure)
  })

  it('does not keep the database for a copy whose host is away: it ends, and says that the copy is still being removed', () => {
    const { next } = remove(succeeded, copyWith({ isDeleting: true, leavesNothing: true }), { stillForMs: hourMs })
    assert.ok(next.to === 'finish' && next.outcome === 'succeeded')
    assert.match(next.because, /640 ms; the copy shop-rehearsal-0000 is still being removed/)
  })
})
