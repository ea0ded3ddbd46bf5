/**
 * A sample of the clusters' faults for every run of the tests: a server becomes a cluster, goes back and comes again while its controller is
 * killed after steps that the seed chooses; then the cluster's leader is killed, and one more fault is done that the seed chooses.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { controllerGid, healLimitMs, playRound } from '../chaos/run.ts'
import { allFaults } from '../chaos/schedule.ts'
import { endings } from '../harness/endings.ts'
import { memberPlaces, removeCluster } from '../harness/ha/customer.ts'
import type { Stage } from '../harness/ha/fault.ts'
import { untilWhole } from '../harness/ha/members.ts'
import { startWatch } from '../harness/ha/watch.ts'
import { remains } from './census.ts'
import { assertConsistent, moveStruck, moveWhole, movingSettings, openMoved, otherWay, watchAll, type Kind, type Moved } from './moves.ts'
import { seededRandom } from './random.ts'
import { openRig } from './rig.ts'
import { openStrikes, told, type Step, type Strikes } from './strikes.ts'

const random = seededRandom()
const ending = endings()
const holdMs = 3_000
/** Those that are over soon; the long suite has all. */
const quick = allFaults.filter(({ kind }) => /^(leader|replica)(ContainerKilled|FirstProcessKilled|PostmasterKilled|PatroniKilled|ContainerPaused)$/.test(kind))
const [first] = quick
const second = quick[random.between(1, quick.length - 1)]
assert.ok(first !== undefined && second !== undefined)
let strikes: Strikes
let moved: Moved

before(async () => {
  strikes = await openStrikes(ending)
  moved = await openMoved(await openRig(ending, { gid: controllerGid, settings: { ...strikes.settings, ...movingSettings } }), 'sample')
})

test(`a controller killed after a step of a rollback and of an upgrade leaves a database whole (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  await whole('upgradeToHa')
  const watch = await watchAll(moved)
  ending.after(() => watch.stop())
  const steps = { rollback: await whole('rollback'), upgradeToHa: await whole('upgradeToHa') }
  let next: Kind = 'rollback'
  for (let kills = 0; kills < 2; kills += 1) {
    const step = chosen(steps[next])
    const { operation, wasStruck } = await moveStruck(moved, strikes, next, step)
    t.diagnostic(`${next}, ${wasStruck ? 'killed after' : 'never came to'} ${told(step)}: ${operation.outcome} ${operation.failure?.message ?? ''}`)
    await assertConsistent(moved, watch, operation)
    // the way back is tried, and then the way there
    if (operation.outcome !== 'succeeded' && next === 'rollback') await whole(next)
    next = otherWay(next)
  }
  if (await servesAlone()) await whole('upgradeToHa')
  const { acked, lost, doubleWriters } = await watch.end()
  t.diagnostic(`${acked} acknowledged`)
  assert.deepEqual({ lost, doubleWriters }, { lost: 0, doubleWriters: [] })
})

async function whole(kind: Kind): Promise<readonly Step[]> {
  await moveWhole(moved, kind)
  return strikes.stepsOfLast()
}

function chosen(steps: readonly Step[]): Step {
  const step = steps[random.between(0, steps.length - 1)]
  assert.ok(step !== undefined)
  return step
}

async function servesAlone(): Promise<boolean> {
  const { data } = await moved.rig.service.api.GET('/v1/databases/{id}', { params: { path: { id: moved.customer.id } } })
  return data?.topology === 'standalone'
}

test(`a cluster survives ${first.kind} and ${second.kind}, and nothing acknowledged is lost (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const { site, customer, rig } = moved
  const places = await memberPlaces(site, customer.id)
  await untilWhole(site, places, healLimitMs)
  const stage: Stage = { site, databaseId: customer.id, places, controller: rig.controller }
  const watch = await startWatch(site, customer, places)
  ending.after(() => watch.stop())
  for (const fault of [first, second]) {
    const { failure } = await playRound({ stage, watch, round: { first: fault, second: null, holdMs, restMs: 0 }, began: performance.now(), say: (line) => t.diagnostic(line) })
    assert.equal(failure, null)
  }
  const { acked, lost, doubleWriters, anomalies } = await watch.end()
  t.diagnostic(`${acked} acknowledged`)
  assert.deepEqual({ lost, doubleWriters, anomalies: anomalies.filter(({ kind }) => kind !== 'staleRead') }, { lost: 0, doubleWriters: [], anomalies: [] })
  await removeCluster(site, customer)
  assert.deepEqual(await remains(rig), [])
})
