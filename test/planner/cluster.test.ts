/** A highly available database: made at once, left alone when settled, healed whatever is lost, and never emptied. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { proxyKey } from '../../src/domain/reading.ts'
import { unknown } from '../../src/domain/sighting.ts'
import { plan } from '../../src/planner/plan.ts'
import { startFailedMs, startingMs } from '../../src/planner/rebuild.ts'
import { conditionOf, createWorld, type Fault, type World } from '../harness/world.ts'
import { names } from '../harness/worldBlueprints.ts'
import { leaderOfShop, loseMember, replicaOfShop, rowsOf, settledCluster, type ClusterShop } from '../harness/worldShop.ts'
import { withDatabase } from '../harness/worldStore.ts'
import { assertNothingTwice, faultsAt, tell, type Story } from '../harness/worldStory.ts'

const healthy = 'true Synchronous'

describe('a cluster', () => {
  it('is made: volumes and scope beside the network, then pods, then members, then all else', async () => {
    const world = createWorld()
    const shop = world.addCluster(1, 'shop')
    const passes: string[] = []
    for (let pass = 0; pass < 4; pass += 1) {
      const result = await world.pass(shop)
      assert.ok(result !== null && result !== 'cutShort')
      passes.push([...result.actionKinds].sort().join())
    }
    assert.equal(passes[0], 'createDataVolume,createDataVolume,createDataVolume,createNetwork,prepareScope')
    assert.equal(passes[1], 'createContainer,createContainer,createContainer')
    assert.equal(passes[2], 'createContainer,createContainer,createContainer')
    await world.settle()
    for (const type of ['Ready', 'ReplicationHealthy', 'BackupsHealthy'] as const) assert.match(conditionOf(world, shop, type), /^true /, type)
    assertNothingTwice(world)
  })

  it('is left alone once it is settled', async () => {
    const { world, shop } = await settledCluster()
    const { steps } = world
    for (let pass = 0; pass < 3; pass += 1) await world.passes(1)
    assert.equal(world.steps, steps)
    assert.equal(conditionOf(world, shop, 'ReplicationHealthy'), healthy)
  })

  it('replaces its proxies one after the other, and never takes the last one that serves', async () => {
    const { world, shop } = await settledCluster()
    const { endpoint } = world.get(shop)
    const proxies = (): { readonly id: string; readonly state: string }[] =>
      (endpoint?.proxies ?? []).flatMap(({ slot }) => world.engine.containers.get(names.endpoint(endpoint?.id ?? '', slot)) ?? [])
    const before = proxies().map(({ id }) => id)
    assert.equal(before.length, 2)
    let wasHalfway = false
    world.change(shop, (desired) => withDatabase(desired, { images: { postgres: 'postgres:1', haproxy: 'haproxy:2' }, generation: 2 }))
    for (let pass = 0; pass < 60; pass += 1) {
      await world.passes(1)
      assert.ok(proxies().some(({ state }) => state === 'running'), `after pass ${pass}`)
      const [first, second] = proxies()
      const isHalfway = first?.state === 'running' && !before.includes(first.id) && second?.state === 'running' && second.id === before[1]
      if (!isHalfway) continue
      const input = world.look(shop)
      const booting = new Map(input.observed.proxies).set(proxyKey(endpoint?.id ?? '', 0), unknown('it does not answer yet'))
      const { actions } = plan({ ...input, observed: { ...input.observed, proxies: booting } })
      assert.deepEqual(actions.filter((action) => 'containerId' in action && action.containerId === second.id), [], 'the new one has to serve first')
      wasHalfway = true
    }
    assert.ok(wasHalfway)
    await world.settle()
    assert.ok(proxies().every(({ id, state }) => state === 'running' && !before.includes(id)))
    assert.match(conditionOf(world, shop, 'Ready'), /^true/)
  })

  for (const [what, which] of [['the leader', leaderOfShop], ['a replica', replicaOfShop]] as const) {
    for (const how of ['kill', 'remove', 'removeWithData', 'killPod', 'removePod'] as const) {
      it(`gets ${what} back after: ${how}`, async () => {
        const cluster = await settledCluster()
        const { world, shop } = cluster
        const lost = which(cluster)
        if (how === 'removeWithData') loseMember(cluster, lost)
        else world.engine.byHand(how.endsWith('Pod') ? names.pod(lost) : names.member(lost), how.startsWith('kill') ? 'kill' : 'remove')
        await world.settle()
        assert.equal(conditionOf(world, shop, 'ReplicationHealthy'), healthy)
        assert.equal(rowsOf(cluster), 'one row')
        assert.equal(world.events.some(({ reason }) => reason === 'FailedOver'), leaderOfShop(cluster) !== lost && what === 'the leader')
      })
    }
  }

  it('whose every volume is gone is given nothing in their place', async () => {
    const cluster = await settledCluster()
    const { world, shop } = cluster
    for (const id of cluster.memberIds) loseMember(cluster, id)
    const before = world.applied.length
    await world.passes(6)
    assert.deepEqual(world.applied.slice(before).filter(({ kind }) => kind === 'createDataVolume'), [])
    assert.equal(conditionOf(world, shop, 'DataMissing'), 'true DataMissing')
  })

  for (const [state, patienceMs] of [['start failed', startFailedMs], ['starting', startingMs]] as const) {
    it(`whose replica cannot follow any more (${state}) has it rebuilt, once, after a while`, async () => {
      const cluster = await settledCluster()
      const { world } = cluster
      const lost = replicaOfShop(cluster)
      world.engine.clusters.broken.set(names.dataVolume(lost), state)
      world.engine.byHand(names.member(lost), 'kill')
      const began = world.now.getTime()
      await world.settle(1_000)
      const rebuilt = world.applied.filter(({ kind }) => kind === 'reinitialiseMember')
      assert.equal(rebuilt.length, 1)
      assert.ok(world.now.getTime() - began >= patienceMs)
      assert.equal(rowsOf(cluster), 'one row')
    })
  }

  it('whose keys in etcd are all gone starts nobody: who has everything acknowledged is not known', async () => {
    const cluster = await settledCluster()
    const { world, shop } = cluster
    for (const id of cluster.memberIds) world.engine.byHand(names.member(id), 'kill')
    world.engine.clusters.scopes.clear()
    const before = world.applied.length
    await world.passes(6)
    assert.deepEqual(world.applied.slice(before).filter(({ kind }) => kind === 'startContainer' || kind === 'createContainer'), [])
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false ClusterStateLost')
  })
})

describe('new settings of a cluster', () => {
  for (const tier of ['pro', 'standard'] as const) {
    it(`roll: replicas one at a time, the leader last by a move (to ${tier})`, async () => {
      const cluster = await settledCluster()
      const { world, shop } = cluster
      if (tier === 'standard') {
        world.change(shop, (desired) => withDatabase(desired, { tier: 'pro', generation: 2 }))
        await world.settle(400)
      }
      const first = leaderOfShop(cluster)
      const before = world.applied.length
      world.change(shop, (desired) => withDatabase(desired, { tier, generation: desired.database.generation + 1 }))
      await world.settle(400)
      const applied = world.applied.slice(before)
      const taken = applied.flatMap((action) => (action.kind === 'stopContainer' ? [action.name] : action.kind === 'switchover' ? ['move'] : []))
      assert.equal(taken.length, 3, taken.join())
      assert.equal(taken[2], 'move')
      assert.ok(!taken.includes(names.member(first)), 'the old leader was ended by its move')
      if (tier === 'standard') assert.ok(applied.some(({ kind }) => kind === 'restartPostgres'), 'what gets smaller is restarted into, the leader first')
      assert.equal(rowsOf(cluster), 'one row')
    })
  }

  it('of durability go through etcd, and take nobody down', async () => {
    const { world, shop } = await settledCluster()
    const before = world.applied.length
    world.change(shop, (desired) => withDatabase(desired, { durability: 'quorum', generation: 2 }))
    await world.settle()
    assert.deepEqual(world.applied.slice(before).map(({ kind }) => kind), ['configureCluster'])
  })
})

describe('operations of a cluster', () => {
  const orders = [['switchover', () => ({ candidateId: null })], ['restart', () => ({})], ['reinitialise', (cluster: ClusterShop) => ({ memberId: replicaOfShop(cluster) })]] as const
  for (const [kind, order] of orders) {
    it(`${kind} ends well, and everybody is synchronous afterwards`, async () => {
      const cluster = await settledCluster()
      const { world, shop } = cluster
      const leader = leaderOfShop(cluster)
      world.startOperation(shop, kind, order(cluster))
      await world.settle(400)
      assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
      assert.equal(conditionOf(world, shop, 'ReplicationHealthy'), healthy)
      assert.equal(leaderOfShop(cluster) === leader, kind === 'reinitialise')
      assert.equal(rowsOf(cluster), 'one row')
    })
  }

  it('refuses to make the leader anew', async () => {
    const cluster = await settledCluster()
    const { world, shop } = cluster
    world.startOperation(shop, 'reinitialise', { memberId: leaderOfShop(cluster) })
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome, code }) => [outcome, code]), [['failed', 'MemberIsLeader']])
    assert.equal(rowsOf(cluster), 'one row')
  })
})

describe('what cannot be seen of a cluster', () => {
  it('is neither made nor taken down: not the engine, not etcd', async () => {
    const { world, shop } = await settledCluster()
    const input = world.look(shop)
    const away = { ...input.observed, engines: new Map([...input.observed.engines.keys()].map((id) => [id, unknown('away')])), postgres: new Map(), patroni: new Map(), proxies: new Map(), jobs: new Map() }
    assert.deepEqual(plan({ ...input, observed: away }).actions, [])
    const blindEtcd = { ...input.observed, clusters: new Map([...input.observed.clusters.keys()].map((id) => [id, unknown('away')])) }
    assert.deepEqual(plan({ ...input, observed: blindEtcd }).actions, [])
  })
})

const creation: Story = { acts: async () => [(world) => void world.addCluster(1, 'shop')] }
const deletion: Story = {
  async acts(world) {
    const shop = world.addCluster(1, 'shop')
    await world.settle()
    return [(one) => one.change(shop, (desired) => withDatabase(desired, { deletionRequestedAt: one.now, backupsKeptUntil: one.now, finalBackup: false, generation: 2 }))]
  },
}

describe('a cluster\'s story is told to the same end', () => {
  for (const [name, story] of Object.entries({ creation, deletion })) {
    it(`${name}: whatever happens to any one of its steps`, async () => {
      const undisturbed = await tell(story)
      for (const [step, what] of undisturbed.steps.entries()) {
        for (const fault of faultsAt(what)) {
          const told = await tell(story, step, fault)
          assert.equal(told.world.databases.size, undisturbed.world.databases.size)
          assert.deepEqual([...told.world.engine.containers.keys()].sort(), [...undisturbed.world.engine.containers.keys()].sort(), `${fault} at step ${step}, ${what}`)
          assert.deepEqual([...told.world.engine.volumes.keys()].sort(), [...undisturbed.world.engine.volumes.keys()].sort(), `${fault} at step ${step}, ${what}`)
          assert.equal(told.world.engine.clusters.scopes.size, undisturbed.world.engine.clusters.scopes.size, `${fault} at step ${step}, ${what}`)
          assertNothingTwice(told.world)
        }
      }
    })
  }
})

const faults: readonly Fault[] = ['none', 'dieBefore', 'dieHalfway', 'dieAfter', 'twice', 'fail', 'loseReply']
const accident = fc.oneof(
  fc.record({ kind: fc.constant('fault' as const), fault: fc.constantFrom(...faults), within: fc.nat(3) }),
  fc.record({ kind: fc.constant('byHand' as const), which: fc.nat(11), how: fc.constantFrom('kill' as const, 'remove' as const) }),
  fc.record({ kind: fc.constant('lose' as const), which: fc.nat(2) }),
  fc.record({ kind: fc.constant('away' as const), what: fc.constantFrom('engine' as const, 'etcd' as const), for: fc.nat(3) }),
  fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1_000, 30_000, 3_600_000) }),
  fc.record({ kind: fc.constant('tier' as const), tier: fc.constantFrom('standard' as const, 'pro' as const) }),
  fc.record({ kind: fc.constant('settle' as const) }),
)
type Accident = typeof accident extends fc.Arbitrary<infer T> ? T : never

async function befall(cluster: ClusterShop, one: Accident): Promise<void> {
  const { world, shop, memberIds } = cluster
  const { engine } = world
  switch (one.kind) {
    case 'fault':
      return failOnce(world, one.within, one.fault)
    case 'byHand': {
      const name = [...engine.containers.keys()][one.which]
      if (name !== undefined) engine.byHand(name, one.how)
      return
    }
    case 'lose': {
      // one copy at a time: with all of them gone there is nothing that a controller could do
      await calm(world)
      const id = memberIds[one.which]
      if (id !== undefined) loseMember(cluster, id)
      return
    }
    case 'away':
      if (one.what === 'engine') engine.isAway = true
      else engine.clusters.isEtcdAway = true
      await world.passes(one.for)
      engine.isAway = false
      engine.clusters.isEtcdAway = false
      return
    case 'time':
      world.now = new Date(world.now.getTime() + one.ms)
      return
    case 'tier':
      return world.change(shop, (desired) => withDatabase(desired, { tier: one.tier, generation: desired.database.generation + 1 }))
    case 'settle':
      return calm(world)
  }
}

function failOnce(world: World, within: number, fault: Fault): void {
  const at = world.steps + within
  world.faultAt = (step) => (step === at ? fault : 'none')
}

async function calm(world: World): Promise<void> {
  world.faultAt = () => 'none'
  await world.settle(600)
}

describe('random accidents of a cluster', () => {
  it('always end well, with every row, and never with more than one thing taken down in a pass', async () => {
    await fc.assert(fc.asyncProperty(fc.array(accident, { minLength: 1, maxLength: 14 }), async (accidents) => {
      const cluster = await settledCluster()
      for (const one of accidents) {
        await befall(cluster, one)
        await cluster.world.passes(1)
      }
      await calm(cluster.world)
      assert.equal(rowsOf(cluster), 'one row')
      assert.equal(conditionOf(cluster.world, cluster.shop, 'ReplicationHealthy'), healthy)
      assertNothingTwice(cluster.world)
    }), { numRuns: 25, seed: 20_261_122, endOnFailure: true })
  })
})
