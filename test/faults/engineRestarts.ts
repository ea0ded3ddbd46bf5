/**
 * Run by engine.test.ts in namespaces of its own. An engine that is ended in order or killed, and started again under a running
 * service: databases come back by themselves as the same containers, nothing acknowledged is lost, and the controller, which
 * lived on, follows the events of the new engine.
 */
import assert from 'node:assert/strict'
import { before, test, type TestContext } from 'node:test'
import { openDocker, localEngine } from '../../src/bootstrap/dockerConnection.ts'
import { label } from '../../src/domain/names.ts'
import { containersOf, containerOf } from '../harness/containers.ts'
import { endings } from '../harness/endings.ts'
import { NotYet } from '../harness/waiting.ts'
import { census, remains, type Census } from './census.ts'
import { condition, gone, order, remove, settled, startWriter, type Customer, type Writer } from './customer.ts'
import { ownEngine, type OwnEngine } from './ownEngine.ts'
import { seededRandom } from './random.ts'
import { eventually, openRig, ready, type Rig } from './rig.ts'

const random = seededRandom()
const ending = endings()
const recoveryLimitMs = 240_000
let engine: OwnEngine
let rig: Rig
let shop: Customer
let writer: Writer
let usual: Census

before(async () => {
  const folder = process.env['HFT_ENGINE_FOLDER']
  assert.ok(folder !== undefined, 'engine.test.ts runs this')
  engine = ownEngine(folder)
  await engine.start()
  ending.after(() => engine.end('SIGTERM'))
  await loadImages()
  rig = await openRig(ending)
  shop = await order(rig, 'shop')
  await settled(rig, shop.id)
  usual = await census(rig, shop.id)
  writer = await startWriter(shop)
  ending.after(() => writer.stop())
  await writer.writesAgain()
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`an engine that is ended by ${signal} and started again brings its databases back, and nothing is made twice`, async (t) => {
    const made = await containerIds()
    writer.longestGapMs()
    const { awayMs, backMs } = await restartEngine(signal)
    assert.equal(rig.controller.isRunning(), true, 'the controller lives through it')
    await ready(rig.service, rig.controller)
    await looksAgain()
    await settled(rig, shop.id, recoveryLimitMs)
    assert.deepEqual(await containerIds(), made)
    assert.deepEqual(await census(rig, shop.id), usual)
    await condition(rig, shop.id, 'DataMissing', (status) => status === 'false')
    t.diagnostic(`away for ${awayMs} ms; writes again ${backMs} ms after it was started; the longest time without a write was ${writer.longestGapMs()} ms; ${await writer.check()} acknowledged rows are there`)
    await noticesDeaths(t)
  })
}

test('an engine that is killed amid provisioning costs time and nothing else', async (t) => {
  const step = random.between(1, 8)
  const reached = rig.controller.log.reached(step, ({ msg }) => msg === 'action applied', AbortSignal.timeout(60_000))
  const other = await order(rig, 'other')
  assert.equal(await reached, true)
  const { backMs } = await restartEngine('SIGKILL')
  const startedAt = performance.now()
  await settled(rig, other.id, recoveryLimitMs)
  t.diagnostic(`seed ${random.seed}: killed after step ${step}; the other database writes ${backMs} ms after the start, this one settled ${Math.round(performance.now() - startedAt)} ms later`)
  assert.deepEqual(await census(rig, other.id), usual)
  await remove(rig, other)
  await gone(rig, other)
})

test('afterwards every row is there and nothing is left over', async () => {
  await writer.check()
  await writer.stop()
  await remove(rig, shop)
  await gone(rig, shop)
  assert.deepEqual(await remains(rig), [])
})

/** Until the writer writes again. */
async function restartEngine(signal: 'SIGTERM' | 'SIGKILL'): Promise<{ readonly awayMs: number; readonly backMs: number }> {
  const endedAt = performance.now()
  await engine.end(signal)
  await notices()
  const startedAt = performance.now()
  await engine.start()
  await writer.writesAgain(recoveryLimitMs)
  return { awayMs: Math.round(startedAt - endedAt), backMs: Math.round(performance.now() - startedAt) }
}

/** The controller says that it does not see the engine: that is what the restart must find it in. */
async function notices(): Promise<void> {
  const { log } = rig.controller
  await eventually('the controller to miss the engine', async () => {
    await log.read()
    const last = log.lines.findLast(({ msg }) => msg === 'the engine is not watched any more; connecting again' || msg === 'watching the engine')
    return last !== undefined && last.msg !== 'watching the engine' ? true : new NotYet(last?.msg ?? 'nothing')
  }, recoveryLimitMs)
}

/** What it shows is of now: it has had a pass to the end since it sees the engine again, and the store that ran on it answers. */
async function looksAgain(): Promise<void> {
  const { log } = rig.controller
  await eventually('a settled pass since the engine is watched again', async () => {
    await log.read()
    const watched = log.lines.findLastIndex(({ msg }) => msg === 'watching the engine')
    return log.lines.slice(watched).some(({ msg, outcome, databaseId }) => msg === 'pass ended' && outcome === 'settled' && databaseId === shop.id) ? true : new NotYet('none')
  }, recoveryLimitMs)
  await eventually('the object store to answer', () => rig.objects.listPrefixes(rig.bucket, '', AbortSignal.timeout(10_000)).then(() => true as const, (error: unknown) => new NotYet(String(error))), recoveryLimitMs)
}

/** By the events of the new engine: the next list of everything would come minutes later. */
async function noticesDeaths(t: TestContext): Promise<void> {
  const { id } = await containerOf(rig.service, shop.id, 'endpoint')
  const killedAt = performance.now()
  await rig.service.docker.getContainer(id).kill()
  await writer.writesAgain()
  t.diagnostic(`an endpoint killed afterwards serves again after ${Math.round(performance.now() - killedAt)} ms`)
  await settled(rig, shop.id)
}

async function containerIds(): Promise<readonly string[]> {
  const seen = await containersOf(rig.service, shop.id)
  return seen.filter(({ labels }) => labels[label.kind] !== 'job').map(({ name, id }) => `${name} ${id}`).sort()
}

/** From standard input, where engine.test.ts puts an archive of them. */
async function loadImages(): Promise<void> {
  const progress = await openDocker(localEngine).loadImage(process.stdin, { quiet: true })
  for await (const _line of progress) continue
}
