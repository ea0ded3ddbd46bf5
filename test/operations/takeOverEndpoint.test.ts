/** takeOverEndpoint: two databases exchange their endpoints, once, and customers never meet a certificate without their name. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { internalName, label } from '../../src/domain/names.ts'
import { machineFor, machineVersions } from '../../src/operations/index.ts'
import { decide } from './decide.ts'
import { conditionOf, settledShop, type World } from '../harness/world.ts'
import { idOf, operationOf, withDatabase } from '../harness/worldStore.ts'

const copy = idOf(200)
const oldEndpoint = idOf(103)

async function beginTakeOver(): Promise<{ world: World; shop: string }> {
  const { world, shop } = await settledShop()
  world.add(2, 'copy')
  await world.settle()
  world.startOperation(copy, 'takeOverEndpoint', { fromDatabaseId: shop })
  return { world, shop }
}

async function untilPhase(world: World, phase: string | undefined): Promise<void> {
  for (let pass = 0; pass < 30 && world.get(copy).operation?.phase !== phase; pass += 1) await world.passes(1)
  assert.equal(world.get(copy).operation?.phase, phase)
}

function loadedNames(world: World, memberName: string): readonly string[] {
  const { certificates } = world.get(copy)
  const loaded = world.engine.containers.get(memberName)?.loadedConfig ?? ''
  return [...certificates.values()].find(({ certificatePem }) => loaded.includes(certificatePem))?.names ?? []
}

describe('taking over an endpoint', () => {
  it('exchanges the endpoints, and each database makes the proxies that it has now', async () => {
    const { world, shop } = await beginTakeOver()
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
    assert.deepEqual([world.get(copy).endpoint?.hostName, world.get(shop).endpoint?.hostName], ['shop.db.example', 'copy.db.example'])
    const proxy = world.engine.containers.get('world-ep-000000000103-0')
    assert.equal(proxy?.blueprint.labels[label.database], copy)
    for (const id of [shop, copy]) assert.match(conditionOf(world, id, 'Ready'), /^true/)
    assert.deepEqual(world.get(copy).database.extraCertificateNames, [])
  })

  it('happens only after the certificate with both names is loaded: the host name\'s and the one its pooler verifies', async () => {
    const { world } = await beginTakeOver()
    await untilPhase(world, 'exchanging')
    assert.equal(world.get(copy).endpoint?.hostName, 'copy.db.example', 'not exchanged yet')
    const names = loadedNames(world, 'world-db-000000000202')
    for (const name of ['shop.db.example', 'copy.db.example', internalName.endpoint(oldEndpoint)]) assert.ok(names.includes(name), `${name} in ${names.join()}`)
  })

  it('ends the sessions to the old database: its proxy is removed, not reloaded', async () => {
    const { world } = await beginTakeOver()
    const before = world.engine.containers.get('world-ep-000000000103-0')?.id
    await world.settle()
    const after = world.engine.containers.get('world-ep-000000000103-0')?.id
    assert.ok(before !== undefined && after !== undefined && before !== after)
  })

  it('does not exchange back when the controller dies right after the exchange', async () => {
    const { world } = await beginTakeOver()
    await untilPhase(world, 'exchanging')
    for (const fault of ['dieAfter', 'loseReply'] as const) {
      const at = world.steps
      world.faultAt = (step) => (step === at ? fault : 'none')
      await world.pass(copy)
      world.faultAt = () => 'none'
      assert.equal(world.get(copy).endpoint?.id, oldEndpoint)
    }
    await world.settle()
    assert.equal(world.get(copy).endpoint?.id, oldEndpoint)
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
  })

  it('is not over before the proxy that routes to this database runs', async () => {
    const { world, shop } = await beginTakeOver()
    await untilPhase(world, 'awaitingRoute')
    // exchanged, and the proxy still routes to the other database
    assert.equal(world.engine.containers.get('world-ep-000000000103-0')?.blueprint.labels[label.database], shop)
    assert.equal(decide(world, copy).next.to, 'stay')
    world.engine.isAway = true
    await world.passes(3)
    assert.equal(world.get(copy).operation?.phase, 'awaitingRoute', 'what cannot be seen is not success')
    world.engine.isAway = false
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
  })

  it('leaves both databases deletable, whichever goes first', async () => {
    for (const first of [idOf(100), copy]) {
      const { world } = await beginTakeOver()
      await world.settle()
      for (const id of [first, ...[...world.databases.keys()].filter((one) => one !== first)]) {
        world.change(id, (desired) => withDatabase(desired, { deletionRequestedAt: world.now, finalBackup: false, backupsKeptUntil: world.now, generation: 9 }))
        await world.settle()
        assert.equal(world.databases.has(id), false)
      }
      assert.deepEqual([...world.engine.containers.keys(), ...world.engine.networks.keys()], [])
    }
  })
})

describe('giving up a take-over', () => {
  it('takes the names off again when the certificate cannot be loaded in time', async () => {
    const { world } = await beginTakeOver()
    await world.pass(copy)
    await world.pass(copy)
    world.engine.byHand('world-db-000000000202', 'pause')
    world.now = new Date(world.now.getTime() + 11 * 60_000)
    await world.passes(3)
    assert.deepEqual(world.ended.map(({ outcome, code }) => [outcome, code]), [['failed', 'TakeOverFailed']])
    assert.deepEqual(world.get(copy).database.extraCertificateNames, [])
    assert.equal(world.get(copy).endpoint?.hostName, 'copy.db.example')
  })

  it('happens when the other database is gone before the exchange', async () => {
    const { world, shop } = await beginTakeOver()
    await untilPhase(world, 'exchanging')
    world.databases.delete(shop)
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['failed'])
    assert.deepEqual(world.get(copy).database.extraCertificateNames, [])
  })

  it('happens when somebody else has taken the endpoint meanwhile', async () => {
    const { world, shop } = await beginTakeOver()
    await untilPhase(world, 'exchanging')
    world.change(shop, (desired) => ({ ...desired, endpoint: desired.endpoint === null ? null : { ...desired.endpoint, id: idOf(303), hostName: 'third.db.example' } }))
    assert.equal(decide(world, copy).next.to, 'finish')
  })
})

describe('an operation', () => {
  it('of a newer version than this controller knows is left to a newer one', () => {
    const operation = operationOf(1, 'restore', {}, new Date(0))
    assert.notEqual(machineFor({ ...operation, machineVersion: machineVersions.restore }), null)
    assert.equal(machineFor({ ...operation, machineVersion: machineVersions.restore + 1 }), null)
  })

  it('of a newer version neither settles its database nor moves', async () => {
    const { world, shop } = await settledShop()
    world.startOperation(shop, 'takeOverEndpoint', { fromDatabaseId: idOf(1) })
    world.change(shop, (desired) => ({ ...desired, operation: desired.operation === null ? null : { ...desired.operation, machineVersion: 99 } }))
    const result = await world.pass(shop)
    assert.ok(result !== null && result !== 'cutShort')
    assert.equal(result.settledGeneration, null)
    assert.equal(world.get(shop).operation?.phase, 'beginning')
  })

  it('in a phase that nobody knows ends with what to do next', async () => {
    const { world, shop } = await settledShop()
    for (const kind of ['restore', 'takeOverEndpoint'] as const) {
      world.startOperation(shop, kind, { fromDatabaseId: idOf(1) })
      world.change(shop, (desired) => ({ ...desired, operation: desired.operation === null ? null : { ...desired.operation, phase: 'dreaming' } }))
      const { next } = decide(world, shop)
      assert.ok(next.to === 'finish' && next.outcome === 'failed')
      assert.match(next.failure?.next ?? '', /Update the controller/)
    }
  })
})
