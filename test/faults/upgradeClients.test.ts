/**
 * Clients that make it hard to move them, while they are moved from a server to a cluster and back: one that holds a lock in a transaction
 * without end, some that connect anew for every row, and two hundred at once. And two controllers, of which one is frozen in the middle.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { z } from 'zod'
import { endings } from '../harness/endings.ts'
import { asCustomer } from '../harness/ha/customer.ts'
import { errorCode, openSession, within, type Session } from '../harness/ha/session.ts'
import type { Watch } from '../harness/ha/watch.ts'
import { startPooled } from '../harness/pooled.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { remains } from './census.ts'
import { assertConsistent, endMoved, limitMs, moveFrozen, moveWhole, movingSettings, openMoved, untilEnded, watchAll, type Kind, type Moved } from './moves.ts'
import { openRig } from './rig.ts'
import { openStrikes, type Step, type Strikes } from './strikes.ts'

const kinds = ['rollback', 'upgradeToHa'] as const
const ending = endings()
const sessionMs = 15_000
/** Together as many as the tier lets in; some are the product's own. */
const [directSessions, pooledSessions] = [140, 60]
const newcomers = 4
let strikes: Strikes
let moved: Moved
let watch: Watch
const steps: Record<Kind, readonly Step[]> = { upgradeToHa: [], rollback: [] }

before(async () => {
  strikes = await openStrikes(ending)
  moved = await openMoved(await openRig(ending, { settings: { ...strikes.settings, ...movingSettings } }), 'shop')
  await move('upgradeToHa')
  watch = await watchAll(moved)
  ending.after(() => watch.stop())
  for (const kind of kinds) {
    await move(kind)
    steps[kind] = await strikes.stepsOfLast()
  }
})

async function move(kind: Kind): Promise<string> {
  return JSON.stringify((await moveWhole(moved, kind)).progress)
}

for (const kind of kinds) {
  test(`${kind}: a transaction that holds a lock and never ends is cut off, and what it did not commit is not there`, async (t) => {
    await asCustomer(moved.customer.readWrite, (client) => client.query('create table if not exists held (id int)'))
    const holder = await openSession(moved.customer.readWrite, sessionMs)
    await holder.client.query('begin')
    await holder.client.query('lock table held in access exclusive mode')
    await holder.client.query('insert into held values (1)')
    t.diagnostic(await move(kind))
    const code = await within(holder, sessionMs, () => holder.client.query('commit')).then(() => null, errorCode)
    holder.leave()
    assert.ok(code !== null, 'its session has ended')
    const { rows } = await asCustomer(moved.customer.readWrite, (client) => client.query<[string]>({ text: 'select count(*) from held', rowMode: 'array' }))
    assert.deepEqual(rows, [['0']])
    await writesOn()
  })
}

for (const kind of kinds) {
  test(`${kind}: clients that connect anew for every row lose none that was acknowledged`, async (t) => {
    await asCustomer(moved.customer.readWrite, (client) => client.query('create table if not exists rows_of_newcomers (id uuid primary key)'))
    const over = new AbortController()
    const acknowledged: string[] = []
    const errors = new Map<string, number>()
    const each = Array.from({ length: newcomers }, async () => {
      while (!over.signal.aborted) await insertAnew(acknowledged).catch((error: unknown) => errors.set(errorCode(error), (errors.get(errorCode(error)) ?? 0) + 1))
    })
    const told = await move(kind).finally(() => over.abort())
    await Promise.all(each)
    const { rows } = await asCustomer(moved.customer.readWrite, (client) => client.query<[string]>({ text: 'select id from rows_of_newcomers', rowMode: 'array' }))
    const there = new Set(rows.map(([id]) => id))
    assert.deepEqual(acknowledged.filter((id) => !there.has(id)), [])
    assert.ok(acknowledged.length > 0)
    t.diagnostic(`${told}; ${acknowledged.length} rows, each by a connection of its own; errors ${JSON.stringify(Object.fromEntries(errors))}`)
    await writesOn()
  })
}

async function insertAnew(acknowledged: string[]): Promise<void> {
  const session = await openSession(moved.customer.readWrite, sessionMs)
  try {
    const id = crypto.randomUUID()
    await within(session, sessionMs, () => session.client.query('insert into rows_of_newcomers values ($1)', [id]))
    acknowledged.push(id)
  } finally {
    session.leave()
  }
}

for (const kind of kinds) {
  test(`${kind}: of two hundred clients the pooled ones see no error, and the direct ones connect again`, async (t) => {
    const direct: Session[] = []
    for (let index = 0; index < directSessions; index += 1) direct.push(await openSession(moved.customer.readWrite, sessionMs))
    const pooled = await Promise.all(Array.from({ length: pooledSessions }, () => startPooled(moved.customer.pooled, 'select 1')))
    const told = await move(kind)
    await Promise.all(pooled.map((client) => client.stop()))
    for (const session of direct) session.leave()
    assert.deepEqual(pooled.flatMap(({ errors }) => errors), [])
    const again = await Promise.all(direct.map(() => openSession(moved.customer.readWrite, sessionMs)))
    const answers = await Promise.all(again.map((session) => within(session, sessionMs, () => session.client.query('select 1')).then(() => true, () => false)))
    for (const session of again) session.leave()
    assert.ok(answers.every((isAnswered) => isAnswered))
    t.diagnostic(`${told}; longest wait of a pooled one ${Math.round(Math.max(...pooled.map(({ longestGapMs }) => longestGapMs)))} ms`)
    await writesOn()
  })
}

for (const kind of kinds) {
  test(`${kind}: a controller that is frozen right after the decision finds it done by another one when it thaws, and changes nothing`, async (t) => {
    const second = moved.rig.another(`second-${kind}`)
    // a server that takes its time is told more than once
    const decided = kind === 'rollback' ? steps.rollback.find(({ effect }) => effect === 'postgres: select pg_catalog.pg_promote') : steps.upgradeToHa.findLast(({ effect }) => effect === 'etcd: txn')
    assert.ok(decided !== undefined)
    const begun = await moveFrozen(moved, strikes, kind, decided, async () => {
      await second.start()
      await until('another controller to end the move', lastOutcome, { limitMs })
    })
    await second.kill()
    const ended = await untilEnded(moved, begun)
    t.diagnostic(`${ended.outcome} ${ended.failure?.message ?? ''}`)
    assert.equal(ended.outcome, 'succeeded')
    await assertConsistent(moved, watch, ended)
  })
}

const outcomeSchema = z.array(z.object({ outcome: z.string().nullable() }))

async function lastOutcome(): Promise<string | NotYet> {
  const [last] = await moved.rig.control(async (pool) => outcomeSchema.parse((await pool.query('select outcome from operations order by created_at desc limit 1')).rows))
  return last?.outcome ?? new NotYet('it goes on')
}

async function writesOn(): Promise<void> {
  await watch.writer.acknowledgedAfter(watch.writer.now(), limitMs)
  assert.deepEqual(watch.doubleWriters(), [])
}

test('afterwards nothing acknowledged is missing, and nothing is left over', async (t) => {
  t.diagnostic(await endMoved(moved, watch))
  assert.deepEqual(await remains(moved.rig), [])
})
