/**
 * Two controllers on one control database and one engine: they share the work, and what one does too late, because it was
 * frozen for longer than its leases, is refused. Nothing is made twice.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { z } from 'zod'
import { endings } from '../harness/endings.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { census, remains, type Census } from './census.ts'
import type { Controller } from './controller.ts'
import { gone, order, remove, settled } from './customer.ts'
import { occupy, vacate } from './engineFaults.ts'
import { seededRandom } from './random.ts'
import { openRig, type Rig } from './rig.ts'

/** Databases at once; a small machine needs a minute for them. */
const crowd = 4
const limitMs = 300_000
const random = seededRandom()
const ending = endings()
let rig: Rig
let second: Controller
let usual: Census

before(async () => {
  rig = await openRig(ending)
  const alone = await order(rig, 'alone')
  await settled(rig, alone.id)
  usual = await census(rig, alone.id)
  await remove(rig, alone)
  await gone(rig, alone)
})

test('a controller that cannot open its API ends, and leaves nothing of itself running', async () => {
  const server = await occupy(rig.anotherApiPort)
  const unlucky = rig.another('unlucky')
  try {
    await unlucky.start()
    await until('the controller to end', async () => (unlucky.isRunning() ? new NotYet('it runs') : true))
  } finally {
    await vacate(server)
  }
  await unlucky.log.read()
  assert.equal(unlucky.log.lines.at(-1)?.level, 'fatal')
})

test('two controllers share the work of many databases and make each once', async (t) => {
  second = rig.another('second')
  await second.start()
  assert.equal(await logged(second, 'the controller runs'), true)
  const customers = await Promise.all(Array.from({ length: crowd }, (_, index) => order(rig, `crowd-${index}`)))
  for (const { id } of customers) await settled(rig, id, limitMs)
  for (const { id } of customers) assert.deepEqual(await census(rig, id), usual)
  const shares = await Promise.all([rig.controller, second].map(async ({ log }) => {
    await log.read()
    return log.lines.filter(({ msg, databaseId }) => msg === 'action applied' && customers.some(({ id }) => id === databaseId)).length
  }))
  t.diagnostic(`actions applied by the first and the second: ${shares.join(' and ')}`)
  assert.ok(shares.every((share) => share > 0))
  await Promise.all(customers.map((customer) => remove(rig, customer)))
  for (const customer of customers) await gone(rig, customer, limitMs)
  assert.deepEqual(await remains(rig), [])
})

for (const work of ['provisioning', 'deletion'] as const) {
  test(`a controller that is frozen amid ${work} for longer than its leases changes nothing when it thaws`, async (t) => {
    const customers = await Promise.all(Array.from({ length: crowd }, (_, index) => order(rig, `${work}-${index}`)))
    if (work === 'deletion') {
      for (const { id } of customers) await settled(rig, id, limitMs)
      for (const customer of customers) await remove(rig, customer)
    }
    const held = await freezeAmidWork()
    await until('the other controller to take over', async () => {
      const late = (await leases()).filter((now) => held.some(({ databaseId, epoch }) => databaseId === now.databaseId && epoch === now.epoch))
      return late.length === 0 ? true : new NotYet(JSON.stringify(late))
    }, { limitMs: 60_000 })
    await second.log.read()
    const before = second.log.lines.length
    second.thaw()
    const passes = held.map(({ databaseId, epoch }) => `${databaseId.replaceAll('-', '').slice(-12)}-${epoch}`)
    const ends = await until('the late passes to end', async () => {
      await second.log.read()
      const ended = second.log.lines.slice(before).filter((line) => passes.includes(String(line['reconcileId'])) && line.outcome !== undefined)
      return ended.length === passes.length ? ended.map(({ outcome }) => String(outcome)) : new NotYet(`${ended.length} of ${passes.length}`)
    }, { limitMs: 60_000 })
    t.diagnostic(`seed ${random.seed}: ${held.length} leases were lost; the late passes ended as ${ends.join(', ')}`)
    assert.deepEqual(ends.filter((outcome) => outcome !== 'leaseLost' && outcome !== 'failed' && outcome !== 'gone'), [])
    if (work === 'provisioning') {
      for (const { id } of customers) await settled(rig, id, limitMs)
      for (const { id } of customers) assert.deepEqual(await census(rig, id), usual)
      for (const customer of customers) await remove(rig, customer)
    }
    for (const customer of customers) await gone(rig, customer, limitMs)
    assert.deepEqual(await remains(rig), [])
  })
}

interface Held {
  readonly databaseId: string
  readonly epoch: string
  readonly holder: string
}

const leaseSchema = z.array(z.object({ databaseId: z.string(), epoch: z.coerce.string(), holder: z.string() }))

async function leases(): Promise<readonly Held[]> {
  return rig.control(async (pool) => leaseSchema.parse((await pool.query(
    `select database_id as "databaseId", lease_epoch as epoch, lease_holder as holder from work_items where lease_holder is not null`)).rows))
}

/** Frozen at an action of its own, while it still holds leases: what it holds then. */
async function freezeAmidWork(): Promise<readonly Held[]> {
  const holder = await holderOf(second)
  return until('the second controller to be frozen amid work', async () => {
    const step = random.between(1, 3)
    if (!(await second.log.reached(step, ({ msg }) => msg === 'action applied', AbortSignal.timeout(30_000)))) return new NotYet('it does nothing')
    second.freeze()
    const held = (await leases()).filter((one) => one.holder === holder)
    if (held.length > 0) return held
    second.thaw()
    return new NotYet('it held no lease')
  }, { limitMs: 120_000, everyMs: 10 })
}

async function holderOf({ log }: Controller): Promise<string> {
  await log.read()
  const line = log.lines.findLast(({ msg }) => msg === 'the controller runs')
  return z.string().parse(line?.['holder'])
}

async function logged({ log }: Controller, msg: string): Promise<boolean> {
  return until(`the log to say "${msg}"`, async () => {
    await log.read()
    return log.lines.some((line) => line.msg === msg) ? true : new NotYet(log.lines.at(-1)?.msg ?? 'nothing')
  }, { limitMs: 60_000 })
}
