/** A data volume that runs full: said first, then read-only before PostgreSQL meets the wall, and writable again with room. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import { containerOf } from '../harness/containers.ts'
import { ask, conditionOf, databaseOf, deleteDatabase, newProject, readyDatabase, reconcile, session, untilBackedUp, withSession, type Made } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

const mib = 1024 * 1024
/** The smallest that is room for a database and something in it. */
const bytes = 448 * mib
const grownBytes = 640 * mib

describe('a database whose storage runs full', () => {
  const ending = endings()
  let service: TestService
  let made: Made

  before(async () => {
    service = await openService(ending)
    const { projectId } = await newProject(service, 'storage')
    made = await readyDatabase(service, projectId, { name: 'small', storageBytes: bytes })
    ending.after(() => deleteDatabase(service, made))
    // what a first backup needs of WAL is gone again
    await untilBackedUp(service, made.id)
    // unlogged and not compressed: a row takes its own size on the disk, once
    await withSession(service, made, (it) => it.query('create unlogged table filler (it text); alter table filler alter it set storage external; create table kept as select 1 as one'))
  })

  async function usage(): Promise<{ readonly total: number; readonly used: number }> {
    const { id } = await containerOf(service, made.id, 'member')
    const { stdout } = await service.engine.exec(id, ['sh', '-c', 'df --output=size,used -B1 /data | tail -1'], {}, AbortSignal.timeout(20_000))
    const [total = 0, used = 0] = stdout.trim().split(/\s+/).map(Number)
    return { total, used }
  }

  /** In rounds, because WAL comes and goes beside what is written. */
  async function fillTo(share: number): Promise<void> {
    const writer = await session(service, made)
    try {
      for (let round = 0; round < 5; round++) {
        const { total, used } = await usage()
        const rows = Math.ceil((total * share - used) / mib)
        if (rows <= 0) return
        await writer.query(`insert into filler select repeat('x', ${mib}) from generate_series(1, $1)`, [rows])
      }
    } finally {
      await writer.end()
    }
  }

  /** The volume is measured every ten seconds; a look now and then instead of the next resync. */
  const untilStorage = (reason: string) => until(`storage is ${reason}`, async () => {
    await reconcile(service, made.id)
    const condition = conditionOf(await databaseOf(service, made.id), 'StorageAvailable')
    return condition?.reason === reason ? condition : new NotYet(JSON.stringify({ condition, ...await usage() }))
  }, { limitMs: 45_000, everyMs: 1_000 })

  test('says so when it is nearly full, and still writes', async () => {
    await fillTo(0.88)
    const { status, message } = await untilStorage('NearlyFull')
    assert.equal(status, 'true')
    assert.match(message, /\d+ % full/)
    await withSession(service, made, (it) => it.query('insert into kept values (2)'))
  })

  test('lets new transactions only read when it is full, and says what to do', async () => {
    await fillTo(0.965)
    const { status, message } = await untilStorage('StorageFull')
    assert.equal(status, 'false')
    assert.match(message, /default_transaction_read_only = off|more storage/)
    for (const port of ['rw', 'pooled'] as const) {
      await assert.rejects(withSession(service, made, (it) => it.query('insert into kept values (3)'), { port }), { code: '25006' }, port)
    }
    assert.equal(await withSession(service, made, (it) => ask(it, 'select count(*) from kept')), '2')
    const { items } = await answerOf(service.api.GET('/v1/events', { params: { query: { teamId: (await databaseOf(service, made.id)).team.id, databaseId: made.id } } }))
    assert.ok(items.some(({ reason, severity }) => reason === 'StorageFull' && severity === 'error'))
  })

  test('is writable again after rows were deleted in a session that asked to write', async () => {
    const it = await session(service, made)
    await it.query('set default_transaction_read_only = off')
    await it.query('truncate filler')
    await it.end()
    await untilStorage('EnoughRoom')
    await withSession(service, made, (next) => next.query('insert into kept values (3)'))
  })

  test('is writable again after it was given more storage', async () => {
    await fillTo(0.965)
    await untilStorage('StorageFull')
    await answerOf(service.api.PATCH('/v1/databases/{id}', { params: { path: { id: made.id } }, body: { storageBytes: grownBytes } }))
    await untilStorage('EnoughRoom')
    // a file system keeps a part for its own log
    assert.ok((await usage()).total > grownBytes - 96 * mib)
    assert.equal(await withSession(service, made, async (it) => { await it.query('insert into kept values (4)'); return ask(it, 'select count(*) from kept') }), '4')
  })

  test('cannot be given less', async () => {
    const { error, response } = await service.api.PATCH('/v1/databases/{id}', { params: { path: { id: made.id } }, body: { storageBytes: bytes } })
    assert.equal(response.status, 422)
    assert.equal(error?.error.code, 'StorageCannotShrink')
  })
})
