import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Lease } from '../../src/store/store.ts'
import { actor, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const takeOver = { kind: 'takeOverEndpoint', input: { fromDatabaseId: '00000000-0000-4000-8000-000000000000' } } as const

async function begun(name: string): Promise<{ id: string; operationId: string; lease: Lease }> {
  const { id } = await rig.create(name)
  const { id: operationId } = await store.databases.startOperation(id, takeOver, actor)
  return { id, operationId, lease: await rig.lease(id) }
}

test('one operation at a time is unfinished, also when two ask at once', async () => {
  const { id } = await rig.create('single')
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.databases.startOperation(id, takeOver, actor)))
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(withCode('OperationInProgress')(outcome.reason))
  assert.equal((await store.operations.list(id)).length, 1)
})

test('an operation begins, enters phases with reasons, and ends; each step is told', async () => {
  const { id, operationId, lease } = await begun('story')
  const first = await store.operations.get(operationId)
  assert.deepEqual([first.phase, first.requestedBy, first.notes, first.input], ['beginning', 'tester', {}, takeOver.input])
  await store.operations.enter(lease, operationId, 'preparingCertificate', { because: 'the operation begins', notes: { attempt: 1 } })
  await store.operations.progress(lease, operationId, { waitingFor: 'the certificate', notes: { seen: true } })
  const waiting = await store.operations.get(operationId)
  assert.deepEqual([waiting.phase, waiting.waitingFor, waiting.notes], ['preparingCertificate', 'the certificate', { attempt: 1, seen: true }])
  await store.operations.finish(lease, operationId, 'succeeded', { message: 'the endpoint routes here' })
  await store.operations.finish(lease, operationId, 'failed', { message: 'too late' })
  const ended = await store.operations.get(operationId)
  assert.deepEqual([ended.outcome, ended.waitingFor, ended.failure], ['succeeded', null, null])
  assert.ok(ended.finishedAt !== null)
  const reasons = (await store.events.list({ teamId: rig.teamId, databaseId: id })).map(({ reason }) => reason)
  assert.deepEqual(reasons, ['DatabaseRequested', 'OperationRequested', 'OperationPhaseEntered', 'OperationSucceeded'])
  assert.equal((await store.desired.load(id))?.operation, null)
})

test('deadlines count from the last progress: it moves when progress changed, and only then', async () => {
  const { operationId, lease } = await begun('moving')
  const at = async (): Promise<number> => (await store.operations.get(operationId)).progressedAt.getTime()
  const started = await at()
  await store.operations.progress(lease, operationId, { waitingFor: 'bytes' })
  assert.equal(await at(), started)
  await store.operations.progress(lease, operationId, { progress: { bytes: 1 } })
  const moved = await at()
  assert.ok(moved > started)
  await store.operations.progress(lease, operationId, { progress: { bytes: 1 } })
  assert.equal(await at(), moved)
  assert.deepEqual((await store.operations.get(operationId)).progress, { bytes: 1 })
})

test('a phase may be entered again for another attempt', async () => {
  const { operationId, lease } = await begun('again')
  await store.operations.enter(lease, operationId, 'restoringFiles', { because: 'it begins', notes: { attempt: 1 } })
  await store.operations.enter(lease, operationId, 'restoringFiles', { because: 'attempt 1 failed', notes: { attempt: 2 } })
  assert.deepEqual((await store.operations.get(operationId)).notes, { attempt: 2 })
})

test('a failure keeps what to do next, and the database shows the last operation', async () => {
  const { id, operationId, lease } = await begun('failing')
  const failure = { code: 'TakeOverFailed', message: 'it is gone', next: 'Ask again.' }
  await store.operations.finish(lease, operationId, 'failed', { message: 'it is gone', failure })
  const view = await store.databases.view(id)
  assert.deepEqual([view.operation?.outcome, view.operation?.failure], ['failed', failure])
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: id })).at(-1)?.severity, 'error')
  await assert.rejects(store.operations.enter(lease, operationId, 'exchanging', { because: 'x' }), withCode('NotFound'))
})

test('nothing begins on a paused database', async () => {
  const { id } = await rig.create('paused')
  await store.databases.patch(id, { paused: true }, actor)
  await assert.rejects(store.databases.startOperation(id, takeOver, actor), withCode('DatabasePaused'))
})
