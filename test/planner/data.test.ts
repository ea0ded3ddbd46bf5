/** What keeps data safe: an initialised database is never given another volume, and nothing is done to what cannot be seen. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Observed } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { unknown } from '../../src/domain/sighting.ts'
import { plan } from '../../src/planner/plan.ts'
import { conditionOf, createWorld, messageOf, settledShop } from '../harness/world.ts'
import { theHost, withDatabase } from '../harness/worldStore.ts'

describe('the data volume', () => {
  it('that is gone after initialisation ends in DataMissing, with nothing put in its place', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'remove')
    world.engine.volumes.delete(parts.dataVolume)
    const before = world.applied.length
    await world.passes(5)
    assert.deepEqual(world.applied.slice(before), [])
    assert.equal(conditionOf(world, shop, 'DataMissing'), 'true DataMissing')
    assert.equal(conditionOf(world, shop, 'Ready'), 'false DataMissing')
    assert.match(messageOf(world, shop, 'Ready'), /restore the database from its latest backup/)
    assert.equal(world.engine.volumes.has(parts.dataVolume), false)
  })

  it('that is gone does not keep the endpoint from being repaired', async () => {
    const { world, parts } = await settledShop()
    world.engine.byHand(parts.member, 'remove')
    world.engine.volumes.delete(parts.dataVolume)
    world.engine.byHand(parts.proxy, 'remove')
    await world.passes(3)
    assert.equal(world.engine.containers.get(parts.proxy)?.state, 'running')
  })

  it('with another cluster on it is left alone: nothing is prepared, archived, backed up or grown', async () => {
    const { world, shop, parts } = await settledShop()
    const volume = world.engine.volumes.get(parts.dataVolume)
    assert.ok(volume?.data)
    volume.data = { ...volume.data, systemIdentifier: '666', roles: {}, prepared: null, slot: 'lost' }
    world.engine.byHand(parts.agent, 'remove')
    world.change(shop, (desired) => ({ ...withDatabase(desired, { storageBytes: 9e9, generation: 2 }), backups: [] }))
    const before = world.applied.length
    await world.passes(4)
    assert.deepEqual(world.applied.slice(before), [])
    assert.equal(conditionOf(world, shop, 'DataMissing'), 'true DataMissing')
    assert.equal(conditionOf(world, shop, 'Ready'), 'false DataMissing')
    assert.match(messageOf(world, shop, 'DataMissing'), /system identifier 666/)
  })

  it('with nothing on it makes its container refuse, which is said and not tried for ever', async () => {
    const { world, shop, parts } = await settledShop()
    const volume = world.engine.volumes.get(parts.dataVolume)
    assert.ok(volume)
    volume.data = null
    world.engine.byHand(parts.member, 'kill')
    await world.passes(2)
    const before = world.applied.length
    await world.passes(4)
    assert.deepEqual(world.applied.slice(before), [])
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false StartRefused')
    assert.match(messageOf(world, shop, 'Progressing'), /logs of container world-db-.*restore/)
  })

  it('may be initialised once: the permission is withdrawn when it was used', async () => {
    const { world, parts } = await settledShop()
    const conf = [...world.engine.volumes.values()].find(({ name }) => name.startsWith('world-dbconf'))
    assert.equal(conf?.permission, '')
    assert.equal(world.engine.made.get(`initdb ${parts.instanceId}`), 1)
  })

  it('whose size was never told, because its maker died, is measured again', async () => {
    const { world, shop } = await settledShop()
    world.change(shop, (desired) => ({ ...desired, instances: desired.instances.map((instance) => ({ ...instance, members: instance.members.map((member) => ({ ...member, volumeBytes: null })) })) }))
    await world.settle()
    assert.equal(world.get(shop).instances[0]?.members[0]?.volumeBytes, world.get(shop).database.storageBytes)
  })
})

describe('a container', () => {
  it('paused by hand is left so, and everything else goes on', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'pause')
    world.engine.byHand(parts.proxy, 'kill')
    await world.passes(4)
    assert.equal(world.engine.containers.get(parts.member)?.state, 'paused')
    assert.equal(world.engine.containers.get(parts.proxy)?.state, 'running')
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false ContainerPaused')
    assert.match(messageOf(world, shop, 'Progressing'), /unpause container/)
  })

  it('paused by hand is not replaced for new settings either', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'pause')
    world.change(shop, (desired) => withDatabase(desired, { tier: 'pro', generation: 2 }))
    await world.passes(4)
    assert.equal(world.engine.containers.get(parts.member)?.state, 'paused')
  })

  it('that its engine restarts again and again because it refuses is not waited for', async () => {
    const { world, shop, parts } = await settledShop()
    const member = world.engine.containers.get(parts.member)
    assert.ok(member)
    Object.assign(member, { state: 'restarting', exitCode: 78 })
    const result = await world.pass(shop)
    assert.ok(result !== null && result !== 'cutShort')
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false StartRefused')
  })

  for (const state of ['restarting', 'removing'] as const) {
    it(`in the state "${state}" is waited for, whatever its settings`, async () => {
      const { world, shop, parts } = await settledShop()
      const proxy = world.engine.containers.get(parts.proxy)
      assert.ok(proxy)
      proxy.state = state
      assert.deepEqual(plan(world.look(shop)).actions, [])
      if (state === 'restarting') return
      world.change(shop, (desired) => withDatabase(desired, { name: 'other', generation: 2 }))
      assert.deepEqual(plan(world.look(shop)).actions.filter((action) => 'name' in action && action.name === parts.proxy), [])
    })
  }

  it('of new settings is stopped, removed and made, one after the other', async () => {
    const { world, shop, parts } = await settledShop()
    world.change(shop, (desired) => withDatabase(desired, { tier: 'pro', generation: 2 }))
    const before = world.applied.length
    await world.settle()
    const about = world.applied.slice(before).filter((action) => ('name' in action ? action.name : 'blueprint' in action ? action.blueprint.name : '') === parts.member)
    assert.deepEqual(about.map(({ kind }) => kind), ['stopContainer', 'removeContainer', 'createContainer'])
    assert.ok(about[0]?.kind === 'stopContainer' && about[0].returns === true, 'its clients are told to wait')
    assert.equal(world.get(shop).database.observedGeneration, 2)
  })
})

describe('what cannot be seen', () => {
  it('is neither made nor removed, at any moment of a database\'s life', async () => {
    const world = createWorld()
    const shop = world.add(1, 'shop')
    for (let pass = 0; pass < 25; pass += 1) {
      const { actions, records } = plan(blind(world.look(shop)))
      assert.deepEqual(actions, [], `in pass ${pass}`)
      // certificates are the control database's own; anything else would be a conclusion from nothing
      assert.deepEqual(records.filter(({ kind }) => kind !== 'issueCertificate'), [], `in pass ${pass}`)
      await world.passes(1)
    }
    world.change(shop, (desired) => withDatabase(desired, { deletionRequestedAt: world.now, finalBackup: false }))
    for (let pass = 0; pass < 12; pass += 1) {
      const { actions, records } = plan(blind(world.look(shop)))
      if (world.get(shop).database.finalizers[0] === 'backups') break
      assert.deepEqual(actions, [])
      assert.deepEqual(records.filter((one) => one.kind === 'finalizerDone' && one.finalizer !== 'finalBackup'), [])
      await world.passes(1)
    }
  })

  it('is shown as unknown, with the reason', async () => {
    const { world, shop } = await settledShop()
    world.engine.isAway = true
    await world.passes(2)
    assert.equal(conditionOf(world, shop, 'PrimaryAvailable'), 'unknown HostUnreachable')
    assert.equal(conditionOf(world, shop, 'EndpointAvailable'), 'unknown HostUnreachable')
    assert.equal(conditionOf(world, shop, 'Ready'), 'unknown HostUnreachable')
    assert.equal(conditionOf(world, shop, 'DataMissing'), 'unknown HostUnreachable')
    assert.match(messageOf(world, shop, 'Ready'), /host one cannot be seen: the engine does not answer/)
  })

  it('does not make a running backup count as vanished', async () => {
    const { world, shop } = await settledShop()
    world.change(shop, (desired) => ({ ...desired, backups: [] }))
    await untilBackup(world, shop, 'running')
    const input = world.look(shop)
    const observed: Observed = { ...input.observed, engines: new Map([[theHost.id, unknown('away')]]), jobs: new Map() }
    const { records } = plan({ ...input, observed })
    assert.deepEqual(records, [])
  })

  it('of PostgreSQL alone stops neither the endpoint nor the rest of the pass', async () => {
    const { world, shop, parts } = await settledShop()
    const input = world.look(shop)
    const observed: Observed = { ...input.observed, postgres: new Map([[parts.memberId, unknown('timeout')]]) }
    const decided = plan({ ...input, observed })
    assert.deepEqual([decided.actions, decided.records, decided.settled], [[], [], false])
    assert.match(decided.waitingFor.join(), /PostgreSQL to accept connections \(timeout\)/)
  })
})

async function untilBackup(world: Awaited<ReturnType<typeof settledShop>>['world'], shop: string, state: string): Promise<void> {
  for (let pass = 0; pass < 20 && world.get(shop).backups[0]?.state !== state; pass += 1) await world.passes(1)
  assert.equal(world.get(shop).backups[0]?.state, state)
}

function blind(input: PlanInput): PlanInput {
  return { ...input, observed: { ...input.observed, engines: new Map([[theHost.id, unknown('away')]]), postgres: new Map(), proxies: new Map(), jobs: new Map() } }
}
