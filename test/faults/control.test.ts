/** The control database goes away: nothing on the engine is touched, callers are told, and all goes on by itself when it is back. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type Docker from 'dockerode'
import { embeddedPlaces } from '../../src/bootstrap/embedded.ts'
import { label } from '../../src/domain/names.ts'
import { endings } from '../harness/endings.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { census, remains, type Census } from './census.ts'
import { gone, order, remove, settled, startWriter, type Customer, type Writer } from './customer.ts'
import { seededRandom } from './random.ts'
import { openRig, ready, type Rig } from './rig.ts'

const random = seededRandom()
const ending = endings()
let rig: Rig
let shop: Customer
let writer: Writer
let control: Docker.Container
let usual: Census

before(async () => {
  rig = await openRig(ending)
  control = rig.service.docker.getContainer(embeddedPlaces(rig.service.config).controlDatabase.container)
  shop = await order(rig, 'shop')
  await settled(rig, shop.id)
  usual = await census(rig, shop.id)
  writer = await startWriter(shop)
  ending.after(() => writer.stop())
})

test('with the control database away nothing on the engine is touched, and the API says what is wrong', async (t) => {
  const before = await runningContainers()
  await writer.writesAgain()
  writer.longestGapMs()
  await control.stop({ t: 10 })
  const checks = await until('/readyz to answer 503', async () => {
    const { response, error } = await rig.service.api.GET('/readyz')
    return response.status === 503 ? JSON.stringify(error) : new NotYet(String(response.status))
  })
  assert.match(checks, /"controlDatabase","ok":false/)
  const { response, error } = await rig.service.api.GET('/v1/databases/{id}', { params: { path: { id: shop.id } } })
  assert.equal(response.status, 503)
  assert.equal(error?.error.code, 'ControlDatabaseUnavailable')
  await queueUnasked(3)
  await writer.writesAgain()
  assert.deepEqual(await runningContainers(), before)
  await control.start()
  const startedAt = performance.now()
  await ready(rig.service, rig.controller)
  const recoveredMs = Math.round(performance.now() - startedAt)
  await settled(rig, shop.id)
  assert.deepEqual(await runningContainers(), before)
  t.diagnostic(`ready ${recoveredMs} ms after it came back; ${await writer.check()} rows, the longest time without a write was ${writer.longestGapMs()} ms`)
})

for (const part of ['first', 'second', 'third'] as const) {
  test(`a control database killed amid provisioning (${part} of three moments) costs time and nothing else`, async (t) => {
    const step = random.between(1, 10)
    const { log } = rig.controller
    const limit = AbortSignal.timeout(60_000)
    const reached = log.reached(step, ({ msg }) => msg === 'action applied', limit)
    const other = await order(rig, `during-${part}`)
    assert.equal(await reached, true)
    await control.kill()
    await control.start()
    const startedAt = performance.now()
    await settled(rig, other.id)
    t.diagnostic(`seed ${random.seed}: killed after step ${step}; settled ${Math.round(performance.now() - startedAt)} ms later`)
    assert.deepEqual(await census(rig, other.id), usual)
    await remove(rig, other)
    await gone(rig, other)
  })
}

test('afterwards every row is there and nothing is left over', async () => {
  await writer.check()
  await writer.stop()
  assert.equal(rig.controller.isRunning(), true)
  await remove(rig, shop)
  await gone(rig, shop)
  assert.deepEqual(await remains(rig), [])
})

/** What runs for databases, each with the time of its start. */
async function runningContainers(): Promise<readonly string[]> {
  const { engine, config } = rig.service
  const signal = AbortSignal.timeout(30_000)
  const listed = await engine.listContainers({ [label.installation]: config.installation }, signal)
  const ours = listed.filter(({ labels }) => labels[label.database] !== undefined)
  const seen = await Promise.all(ours.map(({ id }) => engine.inspectContainer(id, signal)))
  return seen.map(({ id, name, state, startedAt }) => `${name} ${id} ${state} ${startedAt?.toISOString() ?? ''}`).sort()
}

/** The loop has asked in vain so often: whatever it would do without its control database, it has had the time to. */
async function queueUnasked(times: number): Promise<void> {
  const reached = await rig.controller.log.reached(times, (line) => line['what'] === 'the queue could not be asked', AbortSignal.timeout(60_000))
  assert.equal(reached, true)
}
