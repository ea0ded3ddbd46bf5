/**
 * A customer fills the data volume: warned first, read-only before the wall, a server that hit the wall comes up again by its
 * reserve, and deleting or growing makes it writable. What was acknowledged stays.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import pg from 'pg'
import { answerOf } from '../../src/client/problem.ts'
import { containerOf } from '../harness/containers.ts'
import { endings } from '../harness/endings.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { remains } from './census.ts'
import { answered, condition, gone, order, overrule, query, remove, settled, startWriter, type Customer, type Writer } from './customer.ts'
import { killPostmaster } from './engineFaults.ts'
import { openRig, type Rig } from './rig.ts'

const mib = 1024 * 1024
const firstBytes = 1024 * mib
const grownBytes = 1536 * mib
const fillLimitMs = 240_000
/** About 4 MiB in the table, which does not compress it, and as much WAL. */
const chunk = `insert into bulk select repeat(md5(random()::text), 16384) from generate_series(1, 8)`
const readOnlyTransaction = '25006'

const ending = endings()
let rig: Rig
let shop: Customer
let writer: Writer

before(async () => {
  rig = await openRig(ending)
  shop = await order(rig, 'shop', { storageBytes: firstBytes })
  await settled(rig, shop.id)
  await answered(shop, 'create table bulk (text text); alter table bulk alter text set storage external')
  writer = await startWriter(shop)
  ending.after(() => writer.stop())
})

test('a disk that fills is told, and new transactions are read-only before it is full', async (t) => {
  const filling = await fillUntil(async () => (await shareUsed()) >= 0.87)
  await condition(rig, shop.id, 'StorageAvailable', (status, reason) => status === 'true' && reason === 'NearlyFull')
  const more = await fillUntil(async () => (await shareUsed()) >= 0.955)
  const told = await condition(rig, shop.id, 'StorageAvailable', (status, reason) => status === 'false' && reason === 'StorageFull')
  assert.match(told, /default_transaction_read_only/)
  await refusesWrites()
  t.diagnostic(`${filling + more} chunks; ${await writer.check()} acknowledged rows are there`)
})

test('a server that hits the wall comes up again and keeps every acknowledged row', async (t) => {
  const outcome = await fillToTheWall()
  const startedAt = performance.now()
  const [row] = await answered<{ count: string }>(shop, 'select count(*) from written')
  t.diagnostic(`the wall answered ${outcome}; ${row?.count} rows were read ${Math.round(performance.now() - startedAt)} ms later`)
  const memberId = await postmasterKilled()
  await answered(shop, 'select 1')
  t.diagnostic(`member ${memberId} recovered on the full disk; ${await writer.check()} acknowledged rows are there`)
})

test('deleting in a session of one’s own makes room, and writes go on', async (t) => {
  await until('the data to be deleted', async () => {
    try {
      await overrule(shop, 'truncate bulk')
      return true
    } catch (error) {
      return new NotYet(String(error))
    }
  })
  const freedAt = performance.now()
  await condition(rig, shop.id, 'StorageAvailable', (status) => status === 'true')
  await writer.writesAgain()
  t.diagnostic(`writes again ${Math.round(performance.now() - freedAt)} ms after the data was deleted`)
})

test('growing makes room, too', async (t) => {
  await fillUntil(async () => (await shareUsed()) >= 0.955)
  await condition(rig, shop.id, 'StorageAvailable', (status) => status === 'false')
  await answerOf(rig.service.api.PATCH('/v1/databases/{id}', { params: { path: { id: shop.id } }, body: { storageBytes: grownBytes } }))
  const grownAt = performance.now()
  await condition(rig, shop.id, 'StorageAvailable', (status) => status === 'true')
  await writer.writesAgain()
  t.diagnostic(`writes again ${Math.round(performance.now() - grownAt)} ms after it was asked to grow; ${await writer.check()} rows are there`)
  await writer.stop()
  await remove(rig, shop)
  await gone(rig, shop)
  assert.deepEqual(await remains(rig), [])
})

/** In a session that may write to the end, as a customer's may. Gives how many chunks it took. */
async function fillUntil(isEnough: () => Promise<boolean>): Promise<number> {
  let chunks = 0
  await until('the disk to fill', async () => {
    if (await isEnough()) return true
    await overrule(shop, chunk)
    chunks += 1
    return new NotYet(`${chunks} chunks`)
  }, { limitMs: fillLimitMs, everyMs: 1 })
  return chunks
}

/** Until the server refuses, or dies: which of both. */
async function fillToTheWall(): Promise<string> {
  return until('the wall', async () => {
    try {
      await overrule(shop, chunk)
      return new NotYet('there is room still')
    } catch (error) {
      return error instanceof pg.DatabaseError ? `${error.code}` : String(error)
    }
  }, { limitMs: fillLimitMs, everyMs: 1 })
}

async function refusesWrites(): Promise<void> {
  await assert.rejects(query(shop, 'create table too_late ()'), (error: unknown) => error instanceof pg.DatabaseError && error.code === readOnlyTransaction)
}

async function shareUsed(): Promise<number> {
  const { id } = await containerOf(rig.service, shop.id, 'member')
  const { stdout } = await rig.service.engine.exec(id, ['df', '--output=used,size', '-B1', '/data'], {}, AbortSignal.timeout(30_000))
  const [used, size] = (stdout.trim().split('\n').at(-1) ?? '').trim().split(/ +/).map(Number)
  if (used === undefined || size === undefined || Number.isNaN(used / size)) throw new Error(`df said ${stdout}`)
  return used / size
}

/** A crash at the worst time: recovery itself needs room. */
async function postmasterKilled(): Promise<string> {
  const { name } = await containerOf(rig.service, shop.id, 'member')
  await killPostmaster(rig, shop.id)
  return name
}
