import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { Condition } from '../../src/domain/conditions.ts'
import { createStore, type Lease, type Store } from '../../src/store/store.ts'
import { startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const other: Store = createStore({ pool: rig.database.connect(), keyring: rig.keyring })

const claim = (from: Store, holder: string, limit = 10): Promise<readonly Lease[]> => from.queue.claim({ holder, leaseSeconds: 60, limit })
const expire = (databaseId: string): Promise<unknown> =>
  rig.pool.query(`update work_items set lease_until = now() - interval '1 second', due_at = now() where database_id = $1`, [databaseId])

let databaseId = ''
beforeEach(async (t) => {
  await rig.pool.query(`update work_items set due_at = now() + interval '1 hour', lease_until = null, lease_holder = null`)
  databaseId = (await rig.create(`q${String(t.fullName.length)}-${Math.random().toString(36).slice(2, 8)}`)).id
})

test('what is due is claimed once, however many controllers ask at the same moment', async () => {
  const more = await Promise.all(Array.from({ length: 7 }, (_, index) => rig.create(`crowd-${String(index)}`)))
  const claims = await Promise.all(Array.from({ length: 8 }, (_, index) => claim(index % 2 === 0 ? store : other, `holder-${String(index)}`, 3)))
  const ids = claims.flat().map((lease) => lease.databaseId)
  assert.equal(ids.length, new Set(ids).size)
  assert.deepEqual(ids.toSorted(), [databaseId, ...more.map(({ id }) => id)].toSorted())
})

test('a claim skips what another transaction holds, and does not wait for it', async () => {
  const client = await rig.pool.connect()
  try {
    await client.query('begin')
    await client.query(`select from work_items where database_id = $1 for update`, [databaseId])
    assert.deepEqual(await claim(other, 'b'), [])
  } finally {
    await client.query('rollback')
    client.release()
  }
  assert.equal((await claim(other, 'b')).length, 1)
})

test('a lease tells who holds it, since when and for how long, by the clock of the control database', async () => {
  const [lease] = await claim(store, 'a')
  assert.ok(lease !== undefined)
  assert.deepEqual([lease.databaseId, lease.epoch, lease.holder, lease.wakeSeq, lease.attempts], [databaseId, 1, 'a', 1, 1])
  assert.equal(lease.until.getTime() - lease.now.getTime(), 60_000)
  assert.equal(await store.queue.claimOne(databaseId, { holder: 'b', leaseSeconds: 60 }), null)
})

test('who lost the lease can change nothing any more, by any kind of write', async () => {
  const instanceId = await rig.initialise(databaseId)
  const operation = await store.databases.startOperation(databaseId, { kind: 'takeOverEndpoint', input: {} }, { tokenId: null, name: 'x', requestId: 'x' })
  const old = await rig.lease(databaseId, 'a')
  await expire(databaseId)
  const current = await rig.lease(databaseId, 'b')
  assert.equal(current.epoch, old.epoch + 1)
  const before = await stateOf()
  const lost = withCode('LeaseLost')
  const note = { severity: 'info', reason: 'X', message: 'x' } as const
  await assert.rejects(store.records.apply(old, [{ kind: 'event', note }]), lost)
  await assert.rejects(store.records.apply(old, [{ kind: 'instanceRole', instanceId, role: 'retired' }]), lost)
  await assert.rejects(store.records.apply(old, [{ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' }]), lost)
  await assert.rejects(store.records.apply(old, [{ kind: 'finalizerDone', finalizer: 'containers' }]), lost)
  await assert.rejects(store.records.apply(old, [{ kind: 'swapEndpoints', withDatabaseId: databaseId }]), lost)
  await assert.rejects(store.records.apply(old, [{ kind: 'extraCertificateNames', names: ['x'] }]), lost)
  await assert.rejects(store.operations.enter(old, operation.id, 'exchanging', { because: 'x' }), lost)
  await assert.rejects(store.operations.progress(old, operation.id, { waitingFor: 'x' }), lost)
  await assert.rejects(store.operations.finish(old, operation.id, 'failed', { message: 'x' }), lost)
  await assert.rejects(store.queue.renew(old, 60), lost)
  await assert.rejects(store.queue.release(old, { dueInMs: 0, settledGeneration: 1, conditions: [] }), lost)
  assert.equal(await stateOf(), before)
  await store.records.apply(current, [{ kind: 'event', note }])
})

test('a lease that was given back is over, even while nobody else has it', async () => {
  const lease = await rig.lease(databaseId)
  await store.queue.release(lease, { dueInMs: 60_000 })
  await assert.rejects(store.queue.renew(lease, 60), withCode('LeaseLost'))
  await assert.rejects(store.queue.release(lease, { dueInMs: 0 }), withCode('LeaseLost'))
})

test('a lease that ran out counts until somebody takes it over', async () => {
  const lease = await rig.lease(databaseId)
  await expire(databaseId)
  const renewed = await store.queue.renew(lease, 120)
  assert.ok(renewed.until > lease.until)
  assert.deepEqual(await claim(other, 'b'), [])
})

test('a wake during a pass makes the database due again at once', async () => {
  const lease = await rig.lease(databaseId)
  const seq = await store.queue.wake(databaseId)
  assert.equal(seq, lease.wakeSeq + 1)
  assert.deepEqual(await claim(other, 'b'), [], 'not while the pass runs')
  await store.queue.release(lease, { dueInMs: 3_600_000, settledGeneration: 1 })
  assert.equal((await store.queue.settledState(databaseId)).settledSeq, lease.wakeSeq, 'the wake is not answered yet')
  const [again] = await claim(other, 'b')
  assert.equal(again?.databaseId, databaseId)
  await other.queue.release(again, { dueInMs: 3_600_000, settledGeneration: 1 })
  assert.equal((await store.queue.settledState(databaseId)).settledSeq, seq)
  assert.deepEqual(await claim(store, 'a'), [])
})

test('a wake before a renewal is not taken for answered', async () => {
  const lease = await rig.lease(databaseId)
  await store.queue.wake(databaseId)
  const renewed = await store.queue.renew(lease, 60)
  await store.queue.release(renewed, { dueInMs: 3_600_000 })
  assert.equal((await claim(store, 'a')).length, 1)
})

test('no wake is lost among passes and wakes that run into each other', async () => {
  let passes = 0
  let stop = false
  const controller = async (from: Store, holder: string): Promise<void> => {
    while (!stop) {
      for (const lease of await claim(from, holder, 1)) {
        passes++
        await from.queue.release(lease, { dueInMs: 3_600_000, settledGeneration: 1 })
      }
    }
  }
  const controllers = [controller(store, 'a'), controller(other, 'b')]
  let newest = 0
  for (let index = 0; index < 60; index++) newest = (await store.queue.wake(databaseId)) ?? 0
  for (let look = 0; look < 500 && (await store.queue.settledState(databaseId)).settledSeq < newest; look++);
  stop = true
  await Promise.all(controllers)
  assert.equal((await store.queue.settledState(databaseId)).settledSeq, newest)
  assert.ok(passes > 0 && passes <= 61)
})

test('a pass that settled is observed; one that did not is not', async () => {
  const conditions: Condition[] = [{ type: 'Ready', status: 'true', reason: 'Serving', message: 'It serves.', changedAt: new Date('2026-01-01') }]
  await store.queue.release(await rig.lease(databaseId), { dueInMs: 0, conditions })
  assert.equal((await store.databases.view(databaseId)).observedGeneration, 0)
  await store.queue.release(await rig.lease(databaseId), { dueInMs: 0, settledGeneration: 1 })
  const view = await store.databases.view(databaseId)
  assert.deepEqual([view.observedGeneration, view.conditions, view.lastError], [1, conditions, null])
  assert.ok(view.lastPassAt !== null)
})

test('a failed pass keeps the conditions, is told, and is counted until one succeeds', async () => {
  const error = { code: 'EngineUnreachable', message: 'no answer' }
  const first = await rig.lease(databaseId)
  await store.queue.release(first, { dueInMs: 0, error })
  assert.deepEqual((await store.databases.view(databaseId)).lastError, error)
  assert.equal((await store.queue.depth()).failing, 1)
  const second = await rig.lease(databaseId)
  assert.deepEqual([first.attempts, second.attempts], [1, 2])
  await store.queue.release(second, { dueInMs: 0 })
  assert.equal((await rig.lease(databaseId)).attempts, 1)
})

test('a controller that died leaves a database that comes back by itself, ever more rarely', async () => {
  const pauses: number[] = []
  for (let death = 0; death < 4; death++) {
    const lease = await rig.lease(databaseId)
    const { rows } = await rig.pool.query<{ due_at: Date }>(`select due_at from work_items where database_id = $1`, [databaseId])
    pauses.push(((rows[0]?.due_at ?? lease.until).getTime() - lease.until.getTime()) / 1_000)
    await expire(databaseId)
  }
  assert.deepEqual(pauses, [1, 2, 4, 8])
})

test('what members were seen to be is shown', async () => {
  const memberId = (await store.databases.view(databaseId)).instances[0]?.members[0]?.id ?? ''
  const status = { role: 'leader', containerId: 'c0ffee', timeline: 1, lagBytes: 0, syncState: null, patroniState: null }
  await store.queue.release(await rig.lease(databaseId), { dueInMs: 0, members: new Map([[memberId, status]]) })
  assert.deepEqual((await store.databases.view(databaseId)).instances[0]?.members[0], { id: memberId, name: 'member-1', host: 'host-1', ordinal: 1, ...status })
})

test('a host that came back wakes what is on it', async () => {
  const lease = await rig.lease(databaseId)
  await store.queue.release(lease, { dueInMs: 3_600_000 })
  const woken = await store.queue.wakeHost(rig.hostIds[0] ?? '')
  assert.equal(woken, await rig.count('work_items'))
  assert.equal(await store.queue.wakeAll(), woken)
  assert.equal(await store.queue.wake('00000000-0000-4000-8000-000000000000'), null)
})

test('the queue tells when something is due, and how much', async () => {
  assert.equal(await store.queue.nextDueInMs(), 0)
  const lease = await rig.lease(databaseId)
  const depth = await store.queue.depth()
  assert.deepEqual([depth.due, depth.leased, depth.oldestDueSeconds], [0, 1, 0])
  await store.queue.release(lease, { dueInMs: 5_000 })
  const next = (await store.queue.nextDueInMs()) ?? 0
  assert.ok(next > 3_000 && next <= 5_000, String(next))
})

test('a controller leaves operations of newer machines, and of kinds that it does not know, to newer controllers', async () => {
  await store.databases.startOperation(databaseId, { kind: 'takeOverEndpoint', input: {}, machineVersion: 2 }, { tokenId: null, name: 'x', requestId: 'x' })
  const options = { holder: 'a', leaseSeconds: 60, limit: 10 }
  assert.deepEqual(await store.queue.claim({ ...options, machineVersions: { restore: 2, takeOverEndpoint: 1 } }), [])
  assert.deepEqual(await store.queue.claim({ ...options, machineVersions: { restore: 2 } }), [])
  assert.equal((await store.queue.claim({ ...options, machineVersions: { restore: 1, takeOverEndpoint: 2 } })).length, 1)
})

async function stateOf(): Promise<string> {
  const tables = ['databases', 'instances', 'backups', 'operations', 'events', 'work_items', 'endpoints', 'teams']
  const states = await Promise.all(tables.map(async (table) => (await rig.pool.query<{ all: unknown }>(`select json_agg(t order by t::text) as all from ${table} t`)).rows[0]?.all))
  return JSON.stringify(states)
}
