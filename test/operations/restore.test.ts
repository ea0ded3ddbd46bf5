/** restore: fills a new database from another one's repository, which is only read. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decide } from './decide.ts'
import { conditionOf, messageOf, settledShop, type World } from '../harness/world.ts'
import { cluster, idOf, starter, withDatabase } from '../harness/worldStore.ts'
import { endOf } from '../harness/worldStory.ts'

const copy = idOf(200)

async function beginRestore(label = 'set-1'): Promise<{ world: World; shop: string }> {
  const { world, shop, parts } = await settledShop()
  for (const sets of world.engine.bucket.values()) for (const set of sets.values()) set.rows = 'as of the backup'
  const fresh = starter({ number: 2, name: 'copy', now: world.now })
  const { credentials } = world.get(shop)
  world.databases.set(copy, {
    ...withDatabase(fresh, { databaseName: 'shop' }), instances: fresh.instances.map((one) => ({ ...one, role: 'restoring' as const })), credentials,
  })
  world.startOperation(copy, 'restore', { databaseId: shop, instanceId: parts.instanceId, label, targetTime: null })
  return { world, shop }
}

async function untilPhase(world: World, phase: string | undefined): Promise<void> {
  for (let pass = 0; pass < 30 && world.get(copy).operation?.phase !== phase; pass += 1) await world.passes(1)
  assert.equal(world.get(copy).operation?.phase, phase)
}

describe('a restore', () => {
  it('ends in a database of its own with the rows of the backup, and leaves the source as it was', async () => {
    const { world, shop } = await beginRestore()
    const before = JSON.stringify(world.get(shop).instances)
    const from = world.applied.length
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
    const data = [...world.engine.volumes.values()].flatMap((volume) => volume.data ?? [])
    assert.deepEqual(data.map(({ instanceId, rows }) => [instanceId, rows]), [[idOf(101), ''], [idOf(201), 'as of the backup']])
    assert.equal(JSON.stringify(world.get(shop).instances), before)
    assert.deepEqual(world.applied.slice(from).filter((action) => JSON.stringify(action).includes('db-000000000102')), [])
    assert.match(conditionOf(world, copy, 'Ready'), /^true/)
    assert.deepEqual(world.get(copy).backups.map(({ kind, trigger, state }) => `${kind} ${trigger} ${state}`), ['full initial verified'], 'a lineage of its own begins with a full backup')
  })

  it('shows how far it is', async () => {
    const { world } = await beginRestore()
    await untilPhase(world, 'restoringFiles')
    await world.passes(1)
    const job = [...world.engine.containers.values()].find(({ name }) => name.includes('restore'))
    assert.ok(job?.job)
    job.job.progress = { step: 'copyingFiles', percent: 40, bytes: 4, totalBytes: 10 }
    await world.passes(1)
    assert.deepEqual(world.get(copy).operation?.progress, { step: 'copyingFiles', percent: 40, bytes: 4, totalBytes: 10 })
    assert.equal(conditionOf(world, copy, 'PrimaryAvailable'), 'false Restoring')
  })

  it('is tried again under a new name, and fails with what to do next after the last attempt', async () => {
    const { world } = await beginRestore()
    world.engine.failJobs = { kind: 'restore', times: 2 }
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
    assert.deepEqual([...world.engine.made.keys()].filter((name) => name.includes('restore')).map((name) => name.slice(-1)), ['1', '2', '3'])
    assert.deepEqual([...world.engine.containers.keys()].filter((name) => name.includes('-job-')), [])
  })

  it('that has failed says so in the conditions, serves nothing, and can be deleted', async () => {
    const { world } = await beginRestore('no-such-set')
    await world.passes(40)
    assert.deepEqual(world.ended.map(({ outcome, code }) => [outcome, code]), [['failed', 'RestoreFailed']])
    assert.equal(conditionOf(world, copy, 'Ready'), 'false RestoreFailed')
    assert.match(messageOf(world, copy, 'Ready'), /Delete this database.*source is untouched/)
    world.change(copy, (desired) => withDatabase(desired, { deletionRequestedAt: world.now, backupsKeptUntil: world.now, generation: 2 }))
    await world.settle()
    assert.deepEqual([...world.databases.keys()], [idOf(100)])
    assert.deepEqual([...world.engine.containers.keys(), ...world.engine.volumes.keys()].filter((name) => name.includes('0000000002')), [])
  })

  it('can be deleted at any moment, without a trace', async () => {
    const { steps } = await (async () => {
      const { world } = await beginRestore()
      const first = world.steps
      await untilPhase(world, undefined)
      return { steps: world.steps - first }
    })()
    for (let stop = 1; stop <= steps; stop += 1) {
      const { world } = await beginRestore()
      const last = world.steps + stop
      while (world.steps < last) await world.passes(1)
      // the API ends the operation in the transaction that asks for the deletion
      world.change(copy, (desired) => ({ ...withDatabase(desired, { deletionRequestedAt: world.now, finalBackup: false, backupsKeptUntil: world.now, generation: 2 }), operation: null }))
      await world.settle()
      assert.deepEqual([...world.databases.keys()], [idOf(100)])
      assert.deepEqual([...world.engine.containers.keys(), ...world.engine.volumes.keys()].filter((name) => /-0000000002|restore/.test(name)), [], `stopped after ${stop} steps`)
    }
  })

  it('whose job was removed by hand, or stopped half-made, is started again', async () => {
    const { world } = await beginRestore()
    const end = await (async () => {
      const other = await beginRestore()
      await other.world.settle()
      return endOf(other.world)
    })()
    world.faultAt = (_step, what) => (what === 'startJob' ? 'dieHalfway' : 'none')
    await untilPhase(world, 'restoringFiles')
    await world.passes(1)
    world.faultAt = () => 'none'
    await world.passes(1)
    world.engine.byHand([...world.engine.containers.keys()].find((name) => name.includes('restore')) ?? '', 'remove')
    await world.settle()
    assert.equal(endOf(world), end)
  })

  it('whose volume goes while nothing is on it makes it again', async () => {
    const { world } = await beginRestore()
    await untilPhase(world, 'restoringFiles')
    world.engine.volumes.delete('world-data-000000000202')
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
  })

  it('waits for an object store that is away and for a host that cannot be seen', async () => {
    const { world } = await beginRestore()
    world.engine.isBucketAway = true
    await world.passes(8)
    assert.equal(world.get(copy).operation?.phase, 'restoringFiles')
    world.engine.isBucketAway = false
    await world.passes(1)
    world.engine.isAway = true
    await world.passes(5)
    assert.equal(world.get(copy).operation?.phase, 'restoringFiles')
    world.engine.isAway = false
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
    assert.equal([...world.engine.made.keys()].filter((name) => name.includes('restore')).length, 1)
  })
})

describe('a restore of a cluster', () => {
  async function beginCluster(): Promise<World> {
    const { world, shop, parts } = await settledShop()
    for (const sets of world.engine.bucket.values()) for (const set of sets.values()) set.rows = 'as of the backup'
    const fresh = cluster({ number: 2, name: 'copy', now: world.now })
    const { credentials } = world.get(shop)
    world.databases.set(copy, { ...withDatabase(fresh, { databaseName: 'shop' }), instances: fresh.instances.map((one) => ({ ...one, role: 'restoring' as const })), credentials })
    world.startOperation(copy, 'restore', { databaseId: shop, instanceId: parts.instanceId, label: 'set-1', targetTime: null })
    return world
  }
  const dataOf = (world: World): readonly string[] =>
    [...world.engine.volumes].filter(([name]) => name.includes('data') && name.includes('0000000002')).map(([, { data }]) => data?.rows ?? 'nothing')

  it('ends with the rows of the backup on every member, and makes no new database', async () => {
    const world = await beginCluster()
    await world.settle()
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
    assert.deepEqual(dataOf(world), ['as of the backup', 'as of the backup', 'as of the backup'])
    assert.match(conditionOf(world, copy, 'Ready'), /^true/)
    assert.equal(world.get(copy).instances[0]?.role, 'serving')
    assert.deepEqual([...world.engine.made.keys()].filter((what) => what.startsWith('initdb')), [`initdb ${idOf(101)}`])
  })

  it('gets there from every state that a controller which dies may leave', async () => {
    const steps = await (async () => {
      const world = await beginCluster()
      const first = world.steps
      await world.settle()
      return world.steps - first
    })()
    for (let stop = 1; stop <= steps; stop += 1) {
      for (const how of ['dieBefore', 'dieHalfway', 'dieAfter'] as const) {
        const world = await beginCluster()
        const at = world.steps + stop
        world.faultAt = (step) => (step === at ? how : 'none')
        await world.settle()
        assert.deepEqual([world.ended.map(({ outcome }) => outcome), dataOf(world)], [['succeeded'], Array(3).fill('as of the backup')], `${how} at step ${stop}`)
      }
    }
  })

  it('whose restored volume is lost never begins with an empty one', async () => {
    const world = await beginCluster()
    await untilPhase(world, 'adopting')
    world.engine.volumes.delete('world-data-000000000211')
    await world.passes(30)
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), [])
    assert.deepEqual([...world.engine.made.keys()].filter((what) => what.startsWith(`initdb ${idOf(201)}`)), [])
  })
})

describe('the deadlines of a restore', () => {
  const hour = 3_600_000

  it('end an attempt that makes no progress, and only that', async () => {
    const { world } = await beginRestore()
    await untilPhase(world, 'restoringFiles')
    await world.passes(1)
    const job = [...world.engine.containers.values()].find(({ name }) => name.includes('restore'))
    assert.ok(job?.job)
    job.state = 'paused'
    for (let quarter = 1; quarter <= 8; quarter += 1) {
      world.now = new Date(world.now.getTime() + hour / 4)
      job.job.progress = { step: 'copyingFiles', bytes: quarter }
      await world.pass(copy)
    }
    assert.equal(world.engine.containers.get(job.name)?.id, job.id, 'it made progress for two hours')
    world.now = new Date(world.now.getTime() + 1.1 * hour)
    await world.pass(copy)
    await world.settle()
    assert.equal(world.engine.containers.has(job.name), false)
    assert.deepEqual(world.ended.map(({ outcome }) => outcome), ['succeeded'])
  })

  it('do not count against a database whose host cannot be seen', async () => {
    const { world } = await beginRestore()
    await untilPhase(world, 'awaitingReady')
    world.engine.isAway = true
    world.now = new Date(world.now.getTime() + 5 * hour)
    assert.equal(decide(world, copy).next.to, 'stay')
    world.engine.isAway = false
    const { next } = decide(world, copy)
    assert.ok(next.to === 'finish' && next.outcome === 'failed' && next.failure?.code === 'NotReady')
    assert.match(next.failure.next, /source is untouched/)
  })
})
