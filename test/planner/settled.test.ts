/** From nothing to settled, settled stays quiet, and what dies comes back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { plan } from '../../src/planner/plan.ts'
import { conditionOf, createWorld, messageOf, settledShop, type Fault, type World } from '../harness/world.ts'
import { withDatabase } from '../harness/worldStore.ts'
import { assertNothingTwice, endOf } from '../harness/worldStory.ts'

const passesFromNothing = 22

describe('a starter database', () => {
  it('converges from an empty world, its first backup included', async () => {
    const world = createWorld()
    const shop = world.add(1, 'shop')
    const rounds = await world.settle()
    assert.ok(rounds <= passesFromNothing, `${rounds} passes`)
    for (const type of ['Ready', 'BackupsHealthy', 'WalArchived', 'CertificatesValid', 'StorageAvailable'] as const) {
      assert.match(conditionOf(world, shop, type), /^true /, type)
    }
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false Settled')
    assert.equal(world.get(shop).database.observedGeneration, 1)
    assertNothingTwice(world)
  })

  it('is left alone once it is settled, and looked at seldom', async () => {
    const { world, shop } = await settledShop()
    const { steps } = world
    for (let pass = 0; pass < 5; pass += 1) {
      const result = await world.pass(shop)
      assert.ok(result !== null && result !== 'cutShort')
      assert.equal(result.settledGeneration, 1)
      assert.ok(result.requeueAfterMs === null || result.requeueAfterMs >= 60_000, `again in ${result.requeueAfterMs} ms`)
    }
    assert.equal(world.steps, steps, 'a settled pass changed something')
  })

  it('costs a settled pass little CPU', async () => {
    const { world, shop } = await settledShop()
    const input = world.look(shop)
    plan(input)
    const started = process.cpuUsage()
    const times = 200
    for (let time = 0; time < times; time += 1) plan({ ...input, now: new Date(input.now.getTime() + time) })
    const { user, system } = process.cpuUsage(started)
    assert.ok((user + system) / times < 1_000, `${(user + system) / times} µs a plan`)
  })

  it('gets the same plan from the same input, which planning leaves as it is', async () => {
    const world = createWorld()
    const shop = world.add(1, 'shop')
    for (let pass = 0; pass < passesFromNothing; pass += 1) {
      const input = world.look(shop)
      assert.deepEqual(plan(input), plan(input))
      await world.passes(1)
    }
  })
})

describe('what dies comes back', () => {
  for (const part of ['member', 'proxy', 'agent'] as const) {
    for (const how of ['kill', 'remove'] as const) {
      it(`${part}: ${how}`, async () => {
        const { world, shop, parts } = await settledShop()
        const end = endOf(world)
        world.engine.byHand(parts[part], how)
        await world.pass(shop)
        if (part !== 'agent') assert.match(conditionOf(world, shop, 'Ready'), /^false NotAnswering/)
        assert.ok(await world.settle() <= 8)
        assert.equal(endOf(world), end)
        assertNothingTwice(world)
      })
    }
  }

  it('a member and a proxy that die together come back together', async () => {
    const { world, parts } = await settledShop()
    world.engine.byHand(parts.member, 'kill')
    world.engine.byHand(parts.proxy, 'remove')
    assert.ok(await world.settle() <= 8)
  })

  it('a port that somebody else has taken is named in the conditions until it is free', async () => {
    const { world, shop, parts } = await settledShop()
    const { engine } = world
    const member = engine.containers.get(parts.member)
    assert.ok(member)
    engine.byHand(parts.member, 'remove')
    engine.containers.set('thief', { ...member, name: 'thief', blueprint: { ...member.blueprint, name: 'thief', labels: {} } })
    await world.passes(3)
    assert.equal(conditionOf(world, shop, 'Progressing'), 'true ResourceConflict')
    assert.match(messageOf(world, shop, 'Progressing'), /allocated to thief.*tried again/)
    assert.match(conditionOf(world, shop, 'Ready'), /^false /, 'a database that is down is not shown as up')
    engine.containers.delete('thief')
    await world.settle()
    assert.match(conditionOf(world, shop, 'Ready'), /^true /)
  })

  it('what was left half-made by a stale controller is finished', async () => {
    const { world, parts } = await settledShop()
    world.engine.byHand(parts.proxy, 'remove')
    world.faultAt = (_step, what) => (what === 'createContainer' ? 'dieHalfway' : 'none')
    await world.passes(1)
    assert.equal(world.engine.containers.get(parts.proxy)?.state, 'created')
    world.faultAt = () => 'none'
    await world.settle()
    assert.equal(world.engine.containers.get(parts.proxy)?.state, 'running')
  })
})

const faults: readonly Fault[] = ['none', 'dieBefore', 'dieHalfway', 'dieAfter', 'twice', 'fail', 'loseReply']

/** What may befall a world between two passes. */
const accident = fc.oneof(
  fc.record({ kind: fc.constant('fault' as const), fault: fc.constantFrom(...faults), within: fc.nat(3) }),
  fc.record({ kind: fc.constant('byHand' as const), which: fc.nat(5), how: fc.constantFrom('kill' as const, 'remove' as const) }),
  fc.record({ kind: fc.constant('away' as const), what: fc.constantFrom('engine' as const, 'bucket' as const), for: fc.nat(3) }),
  fc.record({ kind: fc.constant('job' as const), job: fc.constantFrom('backup' as const, 'verify' as const) }),
  fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1_000, 3_600_000, 86_400_000) }),
  fc.record({ kind: fc.constant('tier' as const), tier: fc.constantFrom('starter' as const, 'standard' as const) }),
  fc.record({ kind: fc.constant('pass' as const), count: fc.integer({ min: 1, max: 6 }) }),
)

type Accident = typeof accident extends fc.Arbitrary<infer T> ? T : never

async function befall(world: World, shop: string, one: Accident): Promise<void> {
  const { engine } = world
  switch (one.kind) {
    case 'fault': {
      const at = world.steps + one.within
      world.faultAt = (step) => (step === at ? one.fault : 'none')
      return
    }
    case 'byHand': {
      const name = [...engine.containers.keys()][one.which]
      if (name !== undefined) engine.byHand(name, one.how)
      return
    }
    case 'away':
      if (one.what === 'engine') engine.isAway = true
      else engine.isBucketAway = true
      await world.passes(one.for)
      engine.isAway = false
      engine.isBucketAway = false
      return
    case 'job':
      engine.failJobs = { kind: one.job, times: 1 }
      return
    case 'time':
      world.now = new Date(world.now.getTime() + one.ms)
      return
    case 'tier':
      return world.change(shop, (desired) => withDatabase(desired, { tier: one.tier, generation: desired.database.generation + 1 }))
    case 'pass':
      return world.passes(one.count)
  }
}

describe('random accidents', () => {
  it('always end well once they stop, with one cluster and one data volume', async () => {
    await fc.assert(fc.asyncProperty(fc.array(accident, { minLength: 1, maxLength: 25 }), async (accidents) => {
      const world = createWorld()
      const shop = world.add(1, 'shop')
      for (const one of accidents) {
        await befall(world, shop, one)
        await world.passes(1)
      }
      world.faultAt = () => 'none'
      world.engine.failJobs.times = 0
      await world.settle()
      // a backup that failed for good is made good by the schedule
      world.now = new Date(world.now.getTime() + 8 * 86_400_000)
      await world.settle()
      for (const type of ['Ready', 'BackupsHealthy', 'WalArchived'] as const) assert.match(conditionOf(world, shop, type), /^true /, type)
      assert.equal(world.get(shop).database.observedGeneration, world.get(shop).database.generation)
      assert.equal(world.engine.containers.size, 3)
      assert.equal([...world.engine.made].filter(([what, times]) => what.startsWith('initdb') && times === 1).length, 1)
    }), { numRuns: 60, seed: 20_261_121, endOnFailure: false })
  })
})
