/** A sample of the fault suites for every run of the tests: three kills, at steps that the seed chooses. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { endings } from '../harness/endings.ts'
import { remains } from './census.ts'
import { tell } from './kills.ts'
import { seededRandom } from './random.ts'
import { openRig, type Rig } from './rig.ts'

const random = seededRandom()
const ending = endings()
let rig: Rig

before(async () => {
  rig = await openRig(ending)
})

test(`a controller killed at a step of provisioning, of a backup and of a deletion leaves nothing half done (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const points = { provisioning: [random.between(1, 12)], backup: [random.between(1, 6)], deletion: [random.between(1, 16)] }
  const { kills, source, longestRecoveryMs, chapterMs, steps } = await tell(rig, random, points, 'sample', { withRestore: false })
  t.diagnostic(`seed ${random.seed}: killed ${kills} times at ${JSON.stringify(points)}; the slowest chapter ended ${longestRecoveryMs} ms after its kill; ${JSON.stringify({ chapterMs, steps })}`)
  assert.deepEqual(await remains(rig), [])
  assert.equal(source['verified backup'], 2)
  assert.equal(source['set in the store'], 2)
})
