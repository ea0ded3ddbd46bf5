/**
 * Every fault that a cluster has to bear, once each, with a customer who writes, observers who write to each member directly and
 * clients who append to lists. After each: one leader, two synchronous replicas, writes go on. At the end: nothing acknowledged
 * is missing, no two members ever acknowledged commits at once, and every list tells one story.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { controllerGid, healLimitMs, playRound } from '../chaos/run.ts'
import { allFaults, type Planned, type Round } from '../chaos/schedule.ts'
import { endings } from '../harness/endings.ts'
import { memberPlaces, openHaProject, orderCluster, removeCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import type { Stage } from '../harness/ha/fault.ts'
import { untilWhole } from '../harness/ha/members.ts'
import { openSite } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import { remains } from './census.ts'
import { openRig, ready, type Rig } from './rig.ts'

const ending = endings()
/** Long enough for Patroni's lease to run out, should nothing else act. */
const holdMs = 8_000
const settleLimitMs = 240_000
const storageBytes = 1024 * 1024 * 1024
let rig: Rig
let stage: Stage
let customer: ClusterCustomer
let watch: Watch

before(async () => {
  rig = await openRig(ending, { gid: controllerGid })
  const site = await openSite(rig.service)
  customer = await orderCluster(site, await openHaProject(site), { name: 'shop', storageBytes })
  const places = await memberPlaces(site, customer.id)
  await untilWhole(site, places, healLimitMs)
  await untilClusterSettled(site, customer.id, settleLimitMs)
  stage = { site, databaseId: customer.id, places, controller: rig.controller }
  watch = await startWatch(site, customer, places)
  ending.after(() => watch.stop())
})

async function survives(round: Round, say: (line: string) => void): Promise<void> {
  const { faults, failure } = await playRound({ stage, watch, round, began: performance.now(), say })
  assert.equal(failure, null)
  assert.equal(faults.length, round.second === null ? 1 : 2, 'the fault was done')
  assert.deepEqual(watch.doubleWriters(), [])
}

for (const fault of allFaults) {
  test(`a cluster survives ${fault.kind}`, (t) => survives({ first: fault, second: null, holdMs, restMs: 0 }, (line) => t.diagnostic(line)))
}

const pairs: readonly (readonly [string, string, number])[] = [
  ['leaderContainerKilled', 'replicaContainerKilled', 200], ['leaderContainerKilled', 'controllerKilled', 50],
  ['leaderContainerKilled', 'etcdLeaderLost', 0], ['replicaContainerPaused', 'leaderContainerKilled', 1_000], ['etcdMemberLost', 'leaderPostmasterKilled', 500],
  ['etcdQuorumLost', 'leaderContainerAndVolumeRemoved', 8_000],
  // a Patroni that found its PostgreSQL running writes the configuration anew to follow another leader
  ['replicaPatroniKilled', 'leaderContainerKilled', 5_000],
]
for (const [first, second, afterMs] of pairs) {
  test(`a cluster survives ${first} and, ${afterMs} ms later, ${second}`, (t) =>
    survives({ first: named(first), second: { ...named(second), afterMs }, holdMs, restMs: 0 }, (line) => t.diagnostic(line)))
}

function named(kind: string): Planned {
  const found = allFaults.find((one) => one.kind === kind)
  assert.ok(found !== undefined, `there is no fault ${kind}`)
  return found
}

test('afterwards nothing acknowledged is missing, nobody wrote beside the leader, and nothing is left over', async (t) => {
  const { acked, warned, lost, doubleWriters, anomalies, errors, steps } = await watch.end()
  t.diagnostic(`${acked} acknowledged, ${warned} with a warning, ${steps} steps of history, errors ${JSON.stringify(errors)}`)
  assert.equal(lost, 0)
  assert.deepEqual(doubleWriters, [])
  assert.deepEqual(anomalies.filter(({ kind }) => kind !== 'staleRead'), [])
  await ready(rig.service, rig.controller)
  await removeCluster(stage.site, customer)
  assert.deepEqual(await remains(rig), [])
})
