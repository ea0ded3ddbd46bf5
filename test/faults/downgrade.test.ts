/**
 * A database that began as a cluster is taken back to one server by one controller after the other, each of which is killed (SIGKILL) after some
 * effects of its life, while a customer writes.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import { endings } from '../harness/endings.ts'
import { asCustomer, orderCluster } from '../harness/ha/customer.ts'
import { startWriter } from '../harness/ha/writer.ts'
import { remains } from './census.ts'
import { endedByMany } from './lives.ts'
import { assertConsistent, begin, endMoved, limitMs, moveWhole, movingSettings, openMoved, watchAll, type Moved } from './moves.ts'
import { seededRandom } from './random.ts'
import { openRig } from './rig.ts'
import { openStrikes, type Strikes } from './strikes.ts'

const random = seededRandom()
const ending = endings()
let strikes: Strikes
let moved: Moved

before(async () => {
  strikes = await openStrikes(ending)
  moved = await openMoved(await openRig(ending, { settings: { ...strikes.settings, ...movingSettings } }), 'shop', orderCluster)
})

test(`controllers that die after every few effects make a server all the same, and move the clients to it (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const writer = await startWriter(moved.customer.readWrite)
  ending.after(() => writer.stop())
  const lives = await endedByMany(moved, strikes, random, await begin(moved, 'downgrade'))
  await writer.acknowledgedAfter(writer.now(), limitMs)
  await writer.stop()
  assert.deepEqual(await asCustomer(moved.customer.readWrite, (reader) => writer.lost(reader)), [])
  t.diagnostic(`${lives.length} controllers died, after ${lives.join(', ')} effects; ${writer.tally().acked} acknowledged, all of them there`)
  const { topology, instances } = await answerOf(moved.rig.service.api.GET('/v1/databases/{id}', { params: { path: { id: moved.customer.id } } }))
  assert.deepEqual([topology, ...instances.map(({ role, kind }) => `${role} ${kind}`).toSorted()], ['standalone', 'preparing cluster', 'serving standalone'])
})

test('it is a database like any other from then on, and nothing is left of it in the end', async (t) => {
  const watch = await watchAll(moved)
  ending.after(() => watch.stop())
  await assertConsistent(moved, watch, await moveWhole(moved, 'upgradeToHa', 'readOnly'))
  await assertConsistent(moved, watch, await moveWhole(moved, 'downgrade', 'readOnly'))
  t.diagnostic(await endMoved(moved, watch))
  assert.deepEqual(await remains(moved.rig), [])
})
