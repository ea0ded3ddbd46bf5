/**
 * The controller is killed (SIGKILL) right after every single effect of an upgrade to a cluster and of the way back, and started again. The
 * steps are those that a move takes when nobody strikes. Whatever comes of it: the move succeeds or the database is as before, the customer
 * writes on, no two servers ever acknowledge at once, and nothing acknowledged is missing. `HOLDFAST_TEST_EVERY=k` takes every k-th step only,
 * from one on that the seed chooses.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { endings } from '../harness/endings.ts'
import type { Watch } from '../harness/ha/watch.ts'
import { remains } from './census.ts'
import { assertConsistent, begin, endMoved, moveStruck, openMoved, otherWay, untilEnded, watchAll, type Kind, type Moved } from './moves.ts'
import { seededRandom } from './random.ts'
import { openRig } from './rig.ts'
import { openStrikes, told, type Step, type Strikes } from './strikes.ts'

const random = seededRandom()
const every = Number(process.env['HOLDFAST_TEST_EVERY'] ?? 1)
const offset = random.between(0, every - 1)
const kinds = ['upgradeToHa', 'rollback'] as const
const ending = endings()
let strikes: Strikes
let moved: Moved
let watch: Watch
/** Where the database is: the move that comes next. */
let next: Kind = 'upgradeToHa'

before(async () => {
  strikes = await openStrikes(ending)
  moved = await openMoved(await openRig(ending, { settings: strikes.settings }), 'shop')
  await whole('upgradeToHa')
  watch = await watchAll(moved)
  ending.after(() => watch.stop())
})

async function whole(kind: Kind): Promise<readonly Step[]> {
  const { outcome, failure } = await untilEnded(moved, await begin(moved, kind))
  assert.equal(outcome, 'succeeded', failure?.message)
  next = otherWay(kind)
  return strikes.stepsOfLast()
}

test(`a controller killed after any step of an upgrade, and of the way back, leaves a database whole (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const all: Record<Kind, readonly Step[]> = { rollback: await whole('rollback'), upgradeToHa: await whole('upgradeToHa') }
  const left: Record<Kind, Step[]> = { upgradeToHa: chosen(all.upgradeToHa), rollback: chosen(all.rollback) }
  const missed: string[] = []
  const began = performance.now()
  while (kinds.some((kind) => left[kind].length > 0)) {
    const [kind, step] = [next, left[next].shift()]
    if (step === undefined) await whole(kind)
    else missed.push(...await strike(kind, step, (line) => t.diagnostic(line)))
  }
  for (const _ of kinds) await whole(next)
  t.diagnostic(kinds.map((kind) => `${kind}: ${all[kind].length} steps`).join(', ') + `, every ${every}. from ${offset} on, in ${Math.round((performance.now() - began) / 1_000)} s`)
  t.diagnostic(`not come to: ${missed.join(', ') || 'none'}`)
  t.diagnostic(await endMoved(moved, watch))
  assert.deepEqual(await remains(moved.rig), [])
})

/** The first is what begins a move: nothing of it was done then. */
function chosen(steps: readonly Step[]): Step[] {
  return steps.filter((_, index) => index % every === offset)
}

/** What was not come to. */
async function strike(kind: Kind, step: Step, say: (line: string) => void): Promise<readonly string[]> {
  const began = performance.now()
  const { operation, wasStruck } = await moveStruck(moved, strikes, kind, step)
  const { outcome, failure } = operation
  say(`${kind}, ${wasStruck ? 'killed after' : 'never came to'} ${told(step)}: ${outcome} ${failure?.message ?? ''} (${Math.round(performance.now() - began)} ms)`)
  await assertConsistent(moved, watch, operation)
  if (outcome === 'succeeded') next = otherWay(kind)
  return wasStruck ? [] : [`${kind} ${told(step)}`]
}
