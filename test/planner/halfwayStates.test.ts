/** From every half-way state a database converges to the same end, and nothing is made twice on the way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import type { World } from '../harness/world.ts'
import { idOf, starter, withDatabase } from '../harness/worldStore.ts'
import { assertNothingTwice, faultsAt, tell, type Story } from '../harness/worldStory.ts'

const shop = idOf(100)
const copy = idOf(200)

const creation: Story = {
  acts: async () => [(world) => void world.add(1, 'shop')],
}

const change: Story = {
  async acts(world) {
    await withShop(world)
    return [
      (one) => one.change(shop, (desired) => withDatabase(desired, { tier: 'standard', storageBytes: 9e9, allowList: ['10.0.0.0/8'], generation: 2 })),
      (one) => rotate(one),
      (one) => void (one.now = new Date(one.now.getTime() + 3_600_000)),
    ]
  },
}

const deletion: Story = {
  async acts(world) {
    await withShop(world)
    const kept = new Date(world.now.getTime() + 86_400_000)
    return [
      (one) => one.change(shop, (desired) => withDatabase(desired, { deletionRequestedAt: one.now, backupsKeptUntil: kept, generation: 2 })),
      (one) => void (one.now = kept),
    ]
  },
}

const restore: Story = {
  async acts(world) {
    await withShop(world)
    return [(one) => beginRestore(one)]
  },
}

const takeOver: Story = {
  async acts(world) {
    await withShop(world)
    beginRestore(world)
    await world.settle()
    return [(one) => one.startOperation(copy, 'takeOverEndpoint', { fromDatabaseId: shop })]
  },
}

async function withShop(world: World): Promise<void> {
  world.add(1, 'shop')
  await world.settle()
  for (const volume of world.engine.volumes.values()) if (volume.data !== null) volume.data.rows = 'one row'
  world.change(shop, (desired) => ({ ...desired, backups: desired.backups.map((backup) => ({ ...backup, kind: 'full' as const })) }))
  for (const sets of world.engine.bucket.values()) for (const set of sets.values()) set.rows = 'one row'
}

function rotate(world: World): void {
  world.change(shop, (desired) => ({
    ...withDatabase(desired, { generation: desired.database.generation + 1 }),
    credentials: [
      ...desired.credentials.map((one) => ({ ...one, endsAt: new Date(world.now.getTime() + 600_000) })),
      { id: idOf(105), roleName: 'shop_2', password: new Secret('p2'), verifier: new Secret('v2'), createdAt: world.now, endsAt: null, endedAt: null },
    ],
  }))
}

function beginRestore(world: World): void {
  const fresh = starter({ number: 2, name: 'copy', now: world.now })
  const source = world.get(shop)
  world.databases.set(copy, {
    ...withDatabase(fresh, { databaseName: 'shop' }), instances: fresh.instances.map((one) => ({ ...one, role: 'restoring' as const })), credentials: source.credentials,
  })
  world.startOperation(copy, 'restore', { databaseId: shop, instanceId: idOf(101), label: 'set-1', targetTime: null })
}

const stories: Readonly<Record<string, Story>> = { creation, change, deletion, restore, takeOver }

describe('a story is told to the same end', () => {
  for (const [name, story] of Object.entries(stories)) {
    it(`${name}: whatever happens to any one of its steps`, async () => {
      const undisturbed = await tell(story)
      assert.ok(undisturbed.steps.length > 3, 'the story does something')
      for (const [step, what] of undisturbed.steps.entries()) {
        for (const fault of faultsAt(what)) {
          const told = await tell(story, step, fault)
          assert.equal(told.end, undisturbed.end, `${name} with ${fault} at step ${step}, ${what}`)
          assertNothingTwice(told.world)
        }
      }
    })
  }
})
