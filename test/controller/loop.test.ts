/** The loop over a queue in memory and a simulated world: who is worked on, when again, and how it ends. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLoop, type Loop, type LoopContext, type LoopSettings, type PassOutcome } from '../../src/controller/loop.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import { machineVersions } from '../../src/operations/index.ts'
import { createWorld, settledShop, type World } from '../harness/world.ts'
import { FakeQueue } from './fakeQueue.ts'

const settings: LoopSettings = { holder: 'test', concurrency: 4, leaseSeconds: 30, resyncMs: 60_000, passTimeoutMs: 20_000 }

interface Running {
  readonly loop: Loop
  readonly queue: FakeQueue
  readonly outcomes: { readonly databaseId: string; readonly outcome: PassOutcome; readonly error: unknown }[]
  readonly troubles: string[]
}

function run(t: TestContext, world: World, changed: Partial<LoopSettings> = {}, context: Partial<LoopContext> = {}): Running {
  const queue = new FakeQueue(() => world.now)
  for (const id of world.databases.keys()) queue.add(id)
  const outcomes: Running['outcomes'] = []
  const troubles: string[] = []
  const loop = startLoop({ ...world.context, ...context, store: { ...world.context.store, queue } }, { ...settings, ...changed }, {
    passEnded: ({ databaseId }, outcome, _result, _ms, error) => void outcomes.push({ databaseId, outcome, error }),
    trouble: (message) => void troubles.push(message),
  })
  t.after(() => loop.stop())
  return { loop, queue, outcomes, troubles }
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!isSo()) {
    assert.ok(Date.now() < deadline, `waited in vain until ${what}`)
    await sleep(2)
  }
}

/** Holds every pass where it begins, until it is let go. */
function held(world: World) {
  const waiting: (() => void)[] = []
  const { desired } = world.context.store
  const load = async (databaseId: string) => {
    await new Promise<void>((go) => waiting.push(go))
    return desired.load(databaseId)
  }
  const store = { ...world.context.store, desired: { load } }
  Object.assign(world.context, { store })
  return { waiting, letGo: (): void => waiting.splice(0).forEach((go) => go()) }
}

describe('the loop', () => {
  it('releases a settled database until its resync, with its conditions and generation', async (t) => {
    const { world, shop } = await settledShop()
    const { queue, outcomes, loop } = run(t, world)
    await until('the pass ended', () => outcomes.length === 1)
    assert.equal(outcomes[0]?.outcome, 'settled')
    const [released] = queue.released
    assert.equal(released?.databaseId, shop)
    assert.equal(released?.release.settledGeneration, 1)
    assert.ok((released?.release.conditions?.length ?? 0) > 5 && released?.release.error === undefined)
    assert.equal(released?.release.dueInMs, settings.resyncMs)
    assert.notEqual(loop.lastAlive(), null)
  })

  it('claims only what it understands', async (t) => {
    const { queue, outcomes } = run(t, (await settledShop()).world)
    await until('the pass ended', () => outcomes.length === 1)
    assert.deepEqual(queue.claims[0], { holder: 'test', leaseSeconds: 30, limit: 4, machineVersions })
  })

  it('brings new databases to settled by itself', async (t) => {
    const world = createWorld()
    for (const number of [1, 2, 3]) world.add(number, `shop-${number}`)
    const ticking = setInterval(() => void (world.now = new Date(world.now.getTime() + 500)), 5)
    t.after(() => clearInterval(ticking))
    const { outcomes, queue } = run(t, world, { resyncMs: 20 })
    await until('all three are settled', () => new Set(outcomes.filter(({ outcome }) => outcome === 'settled').map(({ databaseId }) => databaseId)).size === 3)
    assert.ok(queue.released.every(({ release }) => release.error === undefined))
  })

  it('works on so many at a time and no more', async (t) => {
    const world = createWorld()
    for (const number of [1, 2, 3, 4, 5]) world.add(number, `shop-${number}`)
    const { waiting, letGo } = held(world)
    const { outcomes, queue, loop } = run(t, world, { concurrency: 2 })
    await until('two are worked on', () => waiting.length === 2)
    for (let ring = 0; ring < 5; ring += 1) loop.ring()
    await until('the loop looked again', () => queue.claims.length >= 1)
    assert.equal(waiting.length, 2)
    while (outcomes.length < 5) {
      assert.ok(waiting.length <= 2)
      letGo()
      await sleep(2)
    }
    t.after(letGo)
    const ending = setInterval(letGo, 2)
    t.after(() => clearInterval(ending))
    await loop.stop()
  })

  it('looks again at once at a database that was woken during its pass', async (t) => {
    const { world, shop } = await settledShop()
    const { waiting, letGo } = held(world)
    const { loop, outcomes, queue } = run(t, world)
    await until('the pass is under way', () => waiting.length === 1)
    loop.wake(shop)
    loop.wake(shop)
    await until('the wake was written', () => queue.wakesWritten === 1)
    letGo()
    await until('the second pass is under way', () => waiting.length === 1)
    letGo()
    await until('both have ended', () => outcomes.length === 2)
  })

  it('does not ask the queue again when a pass ends that nobody was heard during', async (t) => {
    const { queue, outcomes } = run(t, (await settledShop()).world)
    await until('the pass ended', () => outcomes.length === 1)
    await sleep(200)
    assert.equal(queue.claims.length, 1)
  })

  it('comes back to what it released as soon as it is due', async (t) => {
    const { outcomes } = run(t, (await settledShop()).world, { resyncMs: 50 })
    const began = Date.now()
    await until('it was looked at five times', () => outcomes.length === 5)
    assert.ok(Date.now() - began < 3_000, 'each look waited for the longest nap')
  })

  it('writes a wake later when the control database is away, and says so', async (t) => {
    const { world, shop } = await settledShop()
    const { loop, outcomes, queue, troubles } = run(t, world)
    await until('the first pass ended', () => outcomes.length === 1)
    queue.isAway = true
    loop.wake(shop)
    await until('it was said', () => troubles.some((message) => message.includes('a wake could not be written')))
    queue.isAway = false
    await until('the wake was answered', () => outcomes.length === 2)
  })

  it('drops a pass silently whose lease was lost, wherever that shows', async (t) => {
    const { world, shop } = await settledShop()
    const { waiting, letGo } = held(world)
    const { outcomes, queue, troubles } = run(t, world)
    await until('the pass is under way', () => waiting.length === 1)
    queue.steal(shop)
    letGo()
    await until('it ended', () => outcomes.length === 1)
    assert.deepEqual([outcomes[0]?.outcome, queue.released.length, troubles], ['leaseLost', 0, []])
  })

  it('says nothing of trouble when the end of a failed pass belongs to somebody else', async (t) => {
    const { world, shop } = await settledShop()
    const { waiting, letGo } = held(world)
    const { outcomes, queue, troubles } = run(t, world, {}, { observer: { observe: async () => Promise.reject(new Error('no')), forget: () => undefined } })
    await until('the pass is under way', () => waiting.length === 1)
    queue.steal(shop)
    letGo()
    await until('it ended', () => outcomes.length === 1)
    assert.deepEqual([queue.released.length, troubles], [0, []])
  })

  it('releases a pass that could not look with its error and a rest, and leaves the conditions as they were', async (t) => {
    const { world } = await settledShop()
    const broken = { observe: async () => Promise.reject(new HoldfastError('Internal', 'it broke', { next: 'mend it' })), forget: () => undefined }
    const { outcomes, queue } = run(t, world, {}, { observer: broken })
    await until('two passes failed', () => outcomes.length >= 2)
    assert.deepEqual(outcomes[0]?.outcome, 'failed')
    const [first, second] = queue.released.map(({ release }) => release)
    assert.deepEqual(first?.error, { code: 'Internal', message: 'it broke', next: 'mend it' })
    assert.equal(first?.conditions, undefined)
    assert.ok((first?.dueInMs ?? 0) >= 300 && (second?.dueInMs ?? 0) >= 700, 'it rests longer each time')
  })

  it('releases a pass whose action failed with its error and with what it saw', async (t) => {
    const { world, parts } = await settledShop()
    world.engine.byHand(parts.member, 'kill')
    world.faultAt = () => 'fail'
    const { outcomes, queue } = run(t, world)
    await until('it ended', () => outcomes.length >= 1)
    const release = queue.released[0]?.release
    assert.equal(outcomes[0]?.outcome, 'failed')
    assert.equal(release?.error?.message, 'the call failed')
    assert.equal(release?.conditions?.find(({ type }) => type === 'Ready')?.status, 'false')
    world.faultAt = () => 'none'
  })

  it('does nothing while the control database is away, and goes on when it is back', async (t) => {
    const { world } = await settledShop()
    const { queue, outcomes, troubles } = run(t, world)
    await until('the first pass ended', () => outcomes.length === 1)
    queue.isAway = true
    const asked = queue.claims.length
    await until('it was said', () => troubles.includes('the queue could not be asked'))
    assert.ok(queue.claims.length - asked <= 3, 'it is not asked without a pause')
    queue.isAway = false
    for (const item of queue.items.values()) item.dueAt = Date.now()
    await until('the next pass ended', () => outcomes.length === 2)
  })

  it('does not ask without a pause for what is due but cannot be claimed', async (t) => {
    const { world } = await settledShop()
    const { queue, outcomes } = run(t, world)
    await until('the first pass ended', () => outcomes.length === 1)
    queue.isStuck = true
    const before = queue.claims.length
    await sleep(300)
    assert.ok(queue.claims.length - before <= 20, `${queue.claims.length - before} times in 300 ms`)
  })

  it('reports a database that is gone and forgets it', async (t) => {
    const { world, shop } = await settledShop()
    world.databases.delete(shop)
    const queue = new FakeQueue(() => world.now)
    queue.add(shop)
    const outcomes: PassOutcome[] = []
    const loop = startLoop({ ...world.context, store: { ...world.context.store, queue } }, settings, { passEnded: (_lease, outcome) => void outcomes.push(outcome), trouble: assert.fail })
    t.after(() => loop.stop())
    await until('it ended', () => outcomes.length === 1)
    assert.deepEqual(outcomes, ['gone'])
  })

  it('stops after the passes under way have ended, and writes the wakes that it was told', async (t) => {
    const { world, shop } = await settledShop()
    const { waiting, letGo } = held(world)
    const { loop, outcomes, queue } = run(t, world)
    await until('the pass is under way', () => waiting.length === 1)
    loop.wake(shop)
    let stopped = false
    const stop = loop.stop().then(() => void (stopped = true))
    await sleep(20)
    assert.equal(stopped, false)
    letGo()
    await stop
    assert.deepEqual([outcomes.length, queue.wakesWritten], [1, 1])
    const claims = queue.claims.length
    loop.ring()
    loop.wake(shop)
    await sleep(20)
    assert.equal(queue.claims.length, claims)
  })
})
