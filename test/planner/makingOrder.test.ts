/** In which passes a new database is made: what takes long begins first, and what can be made beside it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { label } from '../../src/domain/names.ts'
import { createWorld } from '../harness/world.ts'

test('the data volume is made beside the network, the member before the endpoint', async () => {
  const world = createWorld()
  const shop = world.add(1, 'shop')
  const passes: string[][] = []
  for (let pass = 0; pass < 3; pass += 1) {
    const before = new Set(world.engine.containers.keys())
    const result = await world.pass(shop)
    assert.ok(result !== null && result !== 'cutShort')
    const made = [...world.engine.containers.values()].filter(({ name }) => !before.has(name))
    passes.push([...result.actionKinds.filter((kind) => kind !== 'createContainer'), ...made.map(({ blueprint }) => blueprint.labels[label.kind] ?? '')])
  }
  assert.deepEqual(passes[0], ['createNetwork', 'createDataVolume'])
  assert.deepEqual(passes[1], ['member'])
  assert.ok(passes[2]?.includes('endpoint'))
})
