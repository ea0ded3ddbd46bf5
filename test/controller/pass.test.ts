/** A pass: what is written when, and what a failure leaves standing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runPass } from '../../src/controller/pass.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import type { Lease } from '../../src/store/store.ts'
import { conditionOf, createWorld, settledShop, type World } from '../harness/world.ts'
import { idOf, withDatabase } from '../harness/worldStore.ts'

const signal = new AbortController().signal

function leaseOf(world: World, databaseId: string): Lease {
  return { databaseId, epoch: 1, holder: 'test', until: new Date(0), wakeSeq: 1, attempts: 1, now: world.now }
}

/** Two actions fall due at once; the first of them is told to fail. */
async function twoActions() {
  const shopWorld = await settledShop()
  const { world, parts } = shopWorld
  world.engine.byHand(parts.member, 'kill')
  world.engine.byHand(parts.proxy, 'remove')
  return shopWorld
}

describe('a pass', () => {
  it('over a database that is not there gives null', async () => {
    const world = createWorld()
    assert.equal(await world.pass(idOf(1)), null)
  })

  it('applies the other actions when one fails, keeps what it saw, and reports the failure', async () => {
    const { world, shop, parts } = await twoActions()
    world.faultAt = (_step, what) => (what === 'startContainer' ? 'fail' : 'none')
    const result = await world.pass(shop)
    assert.ok(result !== null && result !== 'cutShort')
    assert.equal(result.failure?.message, 'the call failed')
    assert.equal(result.settledGeneration, null)
    assert.equal(world.engine.containers.get(parts.proxy)?.state, 'running')
    const progressing = result.conditions.find(({ type }) => type === 'Progressing')
    assert.deepEqual([progressing?.status, progressing?.reason, progressing?.message], ['true', 'Internal', 'the call failed. It is tried again.'])
    assert.equal(result.conditions.find(({ type }) => type === 'Ready')?.status, 'false')
  })

  it('says what to do next where the error knows it', async () => {
    const { world, shop } = await twoActions()
    const context = {
      ...world.context,
      executor: { apply: async () => { throw new HoldfastError('EngineUnreachable', 'the helper does not run', { next: 'Start the service again' }) } },
    }
    const result = await runPass(context, leaseOf(world, shop), signal)
    const progressing = result?.conditions.find(({ type }) => type === 'Progressing')
    assert.deepEqual([progressing?.reason, progressing?.message], ['EngineUnreachable', 'the helper does not run. Start the service again. It is tried again.'])
  })

  it('writes what it decided before it acts, and what actions earned even when another one failed', async () => {
    const world = createWorld()
    const shop = world.add(1, 'shop')
    const order: string[] = []
    world.faultAt = (_step, what) => {
      order.push(what)
      return what === 'createNetwork' ? 'fail' : 'none'
    }
    const result = await world.pass(shop)
    assert.ok(result !== null && result !== 'cutShort' && result.failure !== null)
    assert.deepEqual(order, ['records', 'createNetwork', 'createDataVolume', 'records'])
    assert.ok(world.get(shop).certificates.size > 0)
    assert.notEqual(world.get(shop).instances[0]?.members[0]?.volumeBytes, null)
  })

  it('forgets what it knew of a database that it acted on, even when that failed, and only then', async () => {
    const { world, shop } = await twoActions()
    const before = world.forgotten
    world.faultAt = () => 'fail'
    await world.pass(shop)
    assert.equal(world.forgotten, before + 1)
    world.faultAt = () => 'none'
    await world.settle()
    const settled = world.forgotten
    await world.pass(shop)
    assert.equal(world.forgotten, settled)
  })

  it('does not move an operation while an action failed', async () => {
    const { world, shop } = await twoActions()
    world.startOperation(shop, 'takeOverEndpoint', { fromDatabaseId: idOf(1) })
    world.faultAt = (_step, what) => (what === 'startContainer' ? 'fail' : 'none')
    await world.pass(shop)
    assert.equal(world.get(shop).operation?.phase, 'beginning')
    world.faultAt = () => 'none'
    await world.pass(shop)
    assert.notEqual(world.get(shop).operation?.phase, 'beginning')
  })

  it('ends at once, without another word, when an action found that the lease is over', async () => {
    const { world, shop } = await twoActions()
    const lost = new HoldfastError('LeaseLost', 'somebody else has it')
    let calls = 0
    const context = { ...world.context, executor: { apply: async () => { throw (calls += 1) === 1 ? new Error('other') : lost } } }
    await assert.rejects(runPass(context, leaseOf(world, shop), signal), lost)
  })

  it('keeps the time of a condition until its status changes', async () => {
    const { world, shop, parts } = await settledShop()
    const changedAt = () => world.get(shop).database.conditions.find(({ type }) => type === 'Ready')?.changedAt
    const since = changedAt()
    await world.passes(3)
    assert.deepEqual(changedAt(), since)
    world.engine.byHand(parts.proxy, 'kill')
    await world.pass(shop)
    assert.notDeepEqual(changedAt(), since)
  })

  it('names the member that serves, in PostgreSQL\'s words', async () => {
    const { world, shop, parts } = await settledShop()
    const status = async () => {
      const result = await world.pass(shop)
      assert.ok(result !== null && result !== 'cutShort')
      return result.members.get(parts.memberId)
    }
    const id = world.engine.containers.get(parts.member)?.id
    assert.deepEqual(await status(), { role: 'primary', containerId: id, timeline: 1, lagBytes: 0, syncState: null, patroniState: null })
    const data = world.engine.volumes.get(parts.dataVolume)?.data
    assert.ok(data)
    data.isRecovering = true
    assert.equal((await status())?.role, 'standby')
    assert.equal(conditionOf(world, shop, 'PrimaryAvailable'), 'false InRecovery')
    world.engine.isAway = true
    assert.deepEqual(await status(), { role: null, containerId: null, timeline: null, lagBytes: null, syncState: null, patroniState: null })
  })

  it('plans by the schedule that the settings give', async () => {
    const { world, shop } = await settledShop()
    const asked: string[] = []
    const context = { ...world.context, scheduleOf: (tier: string) => (asked.push(tier), world.schedule) }
    world.change(shop, (desired) => withDatabase(desired, { tier: 'standard' }))
    await runPass(context, leaseOf(world, shop), signal)
    assert.deepEqual(asked, ['standard'])
  })
})
