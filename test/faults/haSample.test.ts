/** A sample of the clusters' faults for every run of the tests: the leader killed, and one more fault that the seed chooses. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { controllerGid, healLimitMs, playRound } from '../chaos/run.ts'
import { allFaults } from '../chaos/schedule.ts'
import { endings } from '../harness/endings.ts'
import { memberPlaces, openHaProject, orderCluster, removeCluster } from '../harness/ha/customer.ts'
import type { Stage } from '../harness/ha/fault.ts'
import { untilWhole } from '../harness/ha/members.ts'
import { openSite } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import { remains } from './census.ts'
import { seededRandom } from './random.ts'
import { openRig } from './rig.ts'

const random = seededRandom()
const ending = endings()
const holdMs = 3_000
/** Those that are over soon; the long suite has all. */
const quick = allFaults.filter(({ kind }) => /^(leader|replica)(ContainerKilled|FirstProcessKilled|PostmasterKilled|PatroniKilled|ContainerPaused)$/.test(kind))
const [first] = quick
const second = quick[random.between(1, quick.length - 1)]
assert.ok(first !== undefined && second !== undefined)

test(`a cluster survives ${first.kind} and ${second.kind}, and nothing acknowledged is lost (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  for (const fault of [first, second]) {
    const { failure } = await playRound({ stage, watch, round: { first: fault, second: null, holdMs, restMs: 0 }, began: performance.now(), say: (line) => t.diagnostic(line) })
    assert.equal(failure, null)
  }
  const { acked, lost, doubleWriters, anomalies } = await watch.end()
  t.diagnostic(`${acked} acknowledged`)
  assert.deepEqual({ lost, doubleWriters, anomalies: anomalies.filter(({ kind }) => kind !== 'staleRead') }, { lost: 0, doubleWriters: [], anomalies: [] })
  await end()
})

let stage: Stage
let watch: Watch
let end: () => Promise<void>

before(async () => {
  const rig = await openRig(ending, { gid: controllerGid })
  const site = await openSite(rig.service)
  const customer = await orderCluster(site, await openHaProject(site), { name: 'sample' })
  const places = await memberPlaces(site, customer.id)
  await untilWhole(site, places, healLimitMs)
  stage = { site, databaseId: customer.id, places, controller: rig.controller }
  watch = await startWatch(site, customer, places)
  ending.after(() => watch.stop())
  end = async () => {
    await removeCluster(site, customer)
    assert.deepEqual(await remains(rig), [])
  }
})
