/** What the machine of a database's operation decides now, without anything being done. */
import assert from 'node:assert/strict'
import { machineFor } from '../../src/operations/index.ts'
import type { Decision } from '../../src/operations/machine.ts'
import type { World } from '../harness/world.ts'

export function decide(world: World, databaseId: string): Decision {
  const input = world.look(databaseId)
  const { operation } = input.desired
  assert.ok(operation)
  const machine = machineFor(operation)
  assert.ok(machine)
  return machine.decide({ ...input, operation })
}
