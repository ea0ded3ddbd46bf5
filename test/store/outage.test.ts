/** The control database goes away: callers get one clear error soon, nothing is done twice, and it all works when it is back. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { describeError } from '../../src/domain/errors.ts'
import { createPool } from '../../src/store/pool.ts'
import { createStore } from '../../src/store/store.ts'
import { controlDatabase } from '../../src/store/transaction.ts'
import { z } from 'zod'
import { lastFirst } from '../harness/controlDatabase.ts'
import { startProxy } from './proxy.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const ending = lastFirst({ after })
const rig = await startRig(ending)
const proxy = await startProxy(ending, rig.database.url)
const pool = createPool({ url: proxy.url, applicationName: 'through-proxy', maxConnections: 4 })
ending.after(() => pool.end())
const store = createStore({ pool, keyring: rig.keyring })
const unavailable = withCode('ControlDatabaseUnavailable')
const databaseId = (await rig.create('watched')).id
await rig.pool.query(`create table tries (at timestamptz default now())`)

test('every kind of call fails soon with one code, and works again without a new pool', async () => {
  const lease = await rig.lease(databaseId)
  await store.ping()
  proxy.set('refusing')
  const started = performance.now()
  await Promise.all([
    assert.rejects(store.ping(), unavailable),
    assert.rejects(store.desired.load(databaseId), unavailable),
    assert.rejects(store.databases.view(databaseId), unavailable),
    assert.rejects(store.queue.claim({ holder: 'x', leaseSeconds: 5, limit: 1 }), unavailable),
    assert.rejects(store.queue.release(lease, { dueInMs: 0 }), unavailable),
    assert.rejects(store.databases.create({ ...provisioning, projectId: rig.projectId, name: 'lost', tier: 'starter' }, actor), unavailable),
    assert.rejects(store.records.apply(lease, [{ kind: 'event', note: { severity: 'info', reason: 'X', message: 'x' } }]), unavailable),
  ])
  assert.ok(performance.now() - started < 5_000)
  proxy.set('open')
  assert.equal((await store.databases.view(databaseId)).name, 'watched')
  assert.equal(await rig.count('databases', `name = 'lost'`), 0)
  await store.queue.release(lease, { dueInMs: 0 })
})

test('a server that says nothing any more is given up', async (t) => {
  const impatient = new pg.Pool({ ...pool.options, query_timeout: 300, connectionTimeoutMillis: 300, max: 1 })
  t.after(() => impatient.end())
  const frozen = createStore({ pool: impatient, keyring: rig.keyring })
  await frozen.ping()
  proxy.set('frozen')
  await assert.rejects(frozen.databases.patch(databaseId, { paused: true }, actor), unavailable)
  proxy.set('open')
  assert.ok((await frozen.ping()).now instanceof Date)
})

test('connections that the server ended while they were idle are replaced', async () => {
  await store.ping()
  await rig.pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'through-proxy'`)
  assert.ok((await store.ping()).now instanceof Date)
})

test('a transaction that was cut off before its commit runs again, once', async () => {
  let runs = 0
  await controlDatabase(pool).transaction(async (sql) => {
    runs++
    const { pid } = await sql.one(z.object({ pid: z.number() }), `select pg_backend_pid() as pid`)
    await sql.run(`insert into tries default values`)
    if (runs === 1) await rig.pool.query(`select pg_terminate_backend($1)`, [pid])
    await sql.run(`select`)
  })
  assert.equal(runs, 2)
  assert.equal(await rig.count('tries'), 1)
})

test('a commit whose answer was lost is not repeated, and the error says that it may have happened', async () => {
  await rig.pool.query(`delete from tries`)
  const own = createPool({ url: proxy.url, applicationName: 'in-doubt', maxConnections: 1 })
  let runs = 0
  try {
    proxy.cutAfter('commit')
    await assert.rejects(
      controlDatabase(own).transaction(async (sql) => {
        runs++
        await sql.run(`insert into tries default values`)
      }),
      (error) => unavailable(error) && describeError(error).includes('may have been made'),
    )
  } finally {
    await own.end()
  }
  assert.equal(runs, 1)
  assert.equal(await rig.count('tries'), 1)
})

test('what is tried again is decided by SQLSTATE', async () => {
  const database = controlDatabase(rig.pool)
  const triesFor = async (sqlState: string): Promise<{ tries: number; error: unknown }> => {
    let tries = 0
    const error = await database.transaction(async (sql) => {
      tries++
      if (tries === 1) await sql.run(`do $$ begin raise exception 'raised' using errcode = '${sqlState}'; end $$`)
      return null
    }).catch((raised: unknown) => raised)
    return { tries, error }
  }
  for (const state of ['40001', '40P01', '57P01', '57P03', '08006', '53300']) assert.deepEqual(await triesFor(state), { tries: 2, error: null }, state)
  for (const state of ['57014', '55P03', '25006', '53100', '28000', '3D000']) {
    const { tries, error } = await triesFor(state)
    assert.equal(tries, 1, state)
    assert.ok(unavailable(error), state)
  }
  for (const [state, code] of [['23505', 'Internal'], ['42P01', 'Internal'], ['22P02', 'InvalidRequest']] as const) {
    const { tries, error } = await triesFor(state)
    assert.equal(tries, 1, state)
    assert.ok(withCode(code)(error), state)
  }
})

test('transactions that wait for each other in a circle both end', async () => {
  const [a, b] = [await rig.create('circle-a'), await rig.create('circle-b')]
  const database = controlDatabase(rig.pool)
  const touch = (first: string, second: string): Promise<void> =>
    database.transaction(async (sql) => {
      await sql.run(`update databases set paused = paused where id = $1`, [first])
      await sql.run(`select pg_sleep(0.1)`)
      await sql.run(`update databases set paused = paused where id = $1`, [second])
    })
  await Promise.all([touch(a.id, b.id), touch(b.id, a.id)])
})

test('an error of the work itself is not touched, and rolls back', async () => {
  const mine = new RangeError('mine')
  await rig.pool.query(`delete from tries`)
  await assert.rejects(
    controlDatabase(rig.pool).transaction(async (sql) => {
      await sql.run(`insert into tries default values`)
      throw mine
    }),
    mine,
  )
  assert.equal(await rig.count('tries'), 0)
})
