/**
 * The object store goes away: customers notice nothing, WAL waits within its limit, the conditions say why, and when the store
 * is back the archive has no gap: any moment of the outage can be restored.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type Docker from 'dockerode'
import { embeddedPlaces } from '../../src/bootstrap/embedded.ts'
import { endings } from '../harness/endings.ts'
import { NotYet } from '../harness/waiting.ts'
import { remains } from './census.ts'
import { answered, backUp, condition, gone, order, query, remove, restore, settled, startWriter, verified, type Customer, type Writer } from './customer.ts'
import { runningJob } from './engineFaults.ts'
import { eventually, openRig, type Rig } from './rig.ts'

const gib = 1024 ** 3
const recoveryLimitMs = 240_000
/** One row of this fills a segment of WAL; random, so that compression does not help. */
const segmentOfText = `select string_agg(md5(random()::text), '') from generate_series(1, 450000)`

const ending = endings()
let rig: Rig
let shop: Customer
let writer: Writer
let store: Docker.Container

before(async () => {
  rig = await openRig(ending)
  store = rig.service.docker.getContainer(embeddedPlaces(rig.service.config).objectStore.container)
  shop = await order(rig, 'shop', { storageBytes: gib })
  await settled(rig, shop.id)
  await answered(shop, 'create table bulk (text text); alter table bulk alter text set storage external')
  writer = await startWriter(shop)
  ending.after(() => writer.stop())
})

test('with the store away writes go on, the alarm is raised, and every moment of the outage can be restored', async (t) => {
  await condition(rig, shop.id, 'WalArchived', (status) => status === 'true')
  writer.longestGapMs()
  await store.stop({ t: 5 })
  const stoppedAt = performance.now()
  const told = await condition(rig, shop.id, 'WalArchived', (status, reason) => status === 'false' && reason === 'StoreUnreachable')
  const alarmMs = Math.round(performance.now() - stoppedAt)
  assert.match(told, /kept at the database within its limit/)
  for (let segment = 0; segment < 4; segment++) await query(shop, `insert into bulk ${segmentOfText}`)
  const { moment, count } = await momentNow()
  for (let segment = 0; segment < 2; segment++) await query(shop, `insert into bulk ${segmentOfText}`)
  const [ready] = [await condition(rig, shop.id, 'Ready', (status) => status === 'true')]
  assert.ok(ready)
  await writer.writesAgain()

  await store.start()
  const startedAt = performance.now()
  await condition(rig, shop.id, 'WalArchived', (status) => status === 'true', recoveryLimitMs)
  const caughtUpMs = Math.round(performance.now() - startedAt)
  await writer.writesAgain()
  t.diagnostic(`alarm after ${alarmMs} ms, healthy ${caughtUpMs} ms after the store came back; the longest time without a write was ${writer.longestGapMs()} ms`)
  assert.ok(await writer.check() > 0)
  assert.equal(await gaps(), 0)

  const copy = await restore(rig, shop, 'moment', moment)
  await settled(rig, copy.id, recoveryLimitMs)
  await writer.check(copy, count)
  const [found] = await query<{ segments: string; late: string }>(copy, `select (select count(*) from bulk) as segments, (select count(*) from written where at > '${moment.toISOString()}'::timestamptz) as late`)
  assert.deepEqual(found, { segments: '4', late: '0' })
  await remove(rig, copy)
  await gone(rig, copy)
})

test('a backup whose store goes away under it is taken when the store is back', async (t) => {
  await query(shop, `insert into bulk ${segmentOfText}`)
  const backupId = await backUp(rig, shop.id)
  await runningJob(rig, shop.id, 'backup')
  await store.stop({ t: 1 })
  await condition(rig, shop.id, 'WalArchived', (status) => status === 'false')
  await store.start()
  const startedAt = performance.now()
  const backup = await verified(rig, backupId, recoveryLimitMs)
  await condition(rig, shop.id, 'BackupsHealthy', (status) => status === 'true')
  t.diagnostic(`${backup.label} was read back ${Math.round(performance.now() - startedAt)} ms after the store came back`)
  await writer.check()
})

test('a store that is away for longer than WAL is kept costs a gap, which is told and closed by a full backup', async (t) => {
  const [before] = await query<{ kept: string }>(shop, `select setting::bigint as kept from pg_settings where name = 'max_slot_wal_keep_size'`)
  const segments = Math.ceil(Number(before?.kept ?? 0) / 16) + 6
  await store.stop({ t: 1 })
  await query(shop, 'truncate bulk')
  for (let segment = 0; segment < segments; segment++) {
    await query(shop, `insert into bulk ${segmentOfText}`)
    if (segment % 4 === 3) await query(shop, 'truncate bulk')
  }
  await writer.writesAgain()
  await condition(rig, shop.id, 'StorageAvailable', (status) => status === 'true')
  await store.start()
  await eventually('the gap to be told', async () => ((await gaps()) > 0 ? true : new NotYet('no event')), recoveryLimitMs)
  await settled(rig, shop.id, recoveryLimitMs)
  await condition(rig, shop.id, 'WalArchived', (status) => status === 'true', recoveryLimitMs)
  await condition(rig, shop.id, 'BackupsHealthy', (status) => status === 'true')
  t.diagnostic(`${segments} segments of WAL with the store away, ${before?.kept} MiB kept; ${await writer.check()} rows are there`)
})

test('afterwards nothing is left over', async () => {
  await writer.stop()
  await remove(rig, shop, true)
  await gone(rig, shop, recoveryLimitMs)
  assert.deepEqual(await remains(rig), [])
})

/** A moment by the server's clock, with no commit under way at it, and how many rows were acknowledged before it. */
async function momentNow(): Promise<{ readonly moment: Date; readonly count: number }> {
  const count = writer.acknowledged()
  const [row] = await query<{ at: Date }>(shop, `select date_trunc('milliseconds', clock_timestamp()) + interval '1 ms' as at`)
  if (row === undefined) throw new Error('the server told no time')
  await writer.writesAgain()
  return { moment: row.at, count }
}

async function gaps(): Promise<number> {
  return rig.control(async (pool) => (await pool.query(`select from events where database_id = $1 and reason = 'WalGap'`, [shop.id])).rowCount ?? 0)
}
