/**
 * The controller is killed (SIGKILL) at every step of provisioning, backup, restore and deletion, and started again: what comes of
 * it must be what an undisturbed controller makes, no more and no less, and after the deletion nothing.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { endings } from '../harness/endings.ts'
import { remains } from './census.ts'
import { chapters, tell, type Chapter, type Ending } from './kills.ts'
import { seededRandom } from './random.ts'
import { openRig, type Rig } from './rig.ts'

/** Kills of one story are so many steps apart: each story begins one step later, so together they hit every step. */
const stride = 4
/** Steps that a disturbed chapter may take more than an undisturbed one, because an action had to be applied again. */
const slack = 2

const random = seededRandom()
const ending = endings()
let rig: Rig
let undisturbed: Ending

before(async () => {
  rig = await openRig(ending)
})

test('an undisturbed controller makes and removes everything', async (t) => {
  undisturbed = await tell(rig, random, {}, 'calm')
  t.diagnostic(`seed ${random.seed}: ${JSON.stringify(undisturbed)}`)
  assert.deepEqual(await remains(rig), [])
})

for (let offset = 1; offset <= stride; offset++) {
  test(`a controller killed at steps ${offset}, ${offset + stride}, ${offset + 2 * stride} … makes and removes the same`, async (t) => {
    const points = Object.fromEntries(chapters.map((chapter) => [chapter, pointsOf(chapter, offset)]))
    const told = await tell(rig, random, points, `killed-${offset}`)
    t.diagnostic(`seed ${random.seed}: ${JSON.stringify(told)}`)
    assert.deepEqual(told.source, undisturbed.source)
    assert.deepEqual(told.restored, undisturbed.restored)
    assert.deepEqual(await remains(rig), [])
  })
}

function pointsOf(chapter: Chapter, offset: number): readonly number[] {
  const count = Math.ceil((undisturbed.steps[chapter] + slack - offset + 1) / stride)
  return Array.from({ length: Math.max(count, 0) }, (_, index) => (index === 0 ? offset : stride))
}
