/** One highly available database of the simulated world, as settled as it gets, and what tests do to it. */
import assert from 'node:assert/strict'
import { patroniName } from '../../src/domain/names.ts'
import { createWorld, type World } from './world.ts'
import { names } from './worldBlueprints.ts'

export interface ClusterShop {
  readonly world: World
  readonly shop: string
  readonly instanceId: string
  readonly memberIds: readonly string[]
}

export async function settledCluster(): Promise<ClusterShop> {
  const world = createWorld()
  const shop = world.addCluster(1, 'shop')
  await world.settle()
  const [instance] = world.get(shop).instances
  assert.ok(instance)
  for (const volume of world.engine.volumes.values()) if (volume.data !== null) volume.data.rows = 'one row'
  return { world, shop, instanceId: instance.id, memberIds: instance.members.map(({ id }) => id) }
}

/** Id of the member that leads. */
export function leaderOfShop({ world, instanceId, memberIds }: ClusterShop): string {
  const { leader } = world.engine.clusters.seen(instanceId)
  const found = memberIds.find((id) => patroniName(id) === leader)
  assert.ok(found, 'nobody leads')
  return found
}

export function replicaOfShop(cluster: ClusterShop): string {
  const leader = leaderOfShop(cluster)
  const found = cluster.memberIds.find((id) => id !== leader)
  assert.ok(found)
  return found
}

/** Somebody removes a member's container and its volume. */
export function loseMember({ world }: ClusterShop, memberId: string): void {
  world.engine.byHand(names.member(memberId), 'remove')
  world.engine.volumes.delete(names.dataVolume(memberId))
}

/** What the customers' rows are on the member that leads. */
export function rowsOf({ world, instanceId }: ClusterShop): string | undefined {
  const leading = world.engine.clusters.leading(instanceId)
  return world.engine.volumes.get(leading?.blueprint.mounts[0]?.volume ?? '')?.data?.rows
}
