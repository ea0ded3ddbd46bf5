/**
 * The controller is killed (SIGKILL) right after every single effect of an upgrade to a cluster and of the way back, and started again. The
 * steps are those that a move takes when nobody strikes. Whatever comes of it: the move succeeds or the database is as before, the customer
 * writes on, no two servers ever acknowledge at once, and nothing acknowledged is missing. There are about a hundred, of half a minute each on a
 * busy machine: `HOLDFAST_TEST_EVERY=k` takes every k-th step only, from one on that the seed chooses.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { ClientWindow } from '../../src/domain/action.ts'
import { endings } from '../harness/endings.ts'
import { asCustomer } from '../harness/ha/customer.ts'
import type { Watch } from '../harness/ha/watch.ts'
import { startWriter } from '../harness/ha/writer.ts'
import { remains } from './census.ts'
import { endedByMany } from './lives.ts'
import { assertConsistent, begin, endMoved, limitMs, moveStruck, moveWhole, movingSettings, openMoved, otherWay, watchAll, type Kind, type Moved } from './moves.ts'
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
  moved = await openMoved(await openRig(ending, { settings: { ...strikes.settings, ...movingSettings } }), 'shop')
})

/** A cluster takes a minute to make: it is made by one controller after the other, each of which dies after some effects of its life. */
test(`controllers that die after every few effects make a cluster all the same, and move the clients to it (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const writer = await startWriter(moved.customer.readWrite)
  ending.after(() => writer.stop())
  const lives = await endedByMany(moved, strikes, random, await begin(moved, 'upgradeToHa'))
  next = 'rollback'
  await writer.acknowledgedAfter(writer.now(), limitMs)
  await writer.stop()
  assert.deepEqual(await asCustomer(moved.customer.readWrite, (reader) => writer.lost(reader)), [])
  t.diagnostic(`${lives.length} controllers died, after ${lives.join(', ')} effects; ${writer.tally().acked} acknowledged, all of them there`)
})

test(`a controller killed after any step of an upgrade, and of the way back, leaves a database whole (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  watch = await watchAll(moved)
  ending.after(() => watch.stop())
  const all: Record<Kind, readonly Shot[]> = { rollback: await shotsOf('rollback'), upgradeToHa: await shotsOf('upgradeToHa') }
  for (const kind of ['rollback', 'upgradeToHa'] as const) all[kind] = [...all[kind], ...await shotsWhileReading(kind, all[kind])]
  const left: Record<Kind, Shot[]> = { upgradeToHa: chosen(all.upgradeToHa), rollback: chosen(all.rollback) }
  const strikesAtAll = left.upgradeToHa.length + left.rollback.length
  const missed: string[] = []
  const began = performance.now()
  while (kinds.some((kind) => left[kind].length > 0)) {
    const [kind, shot] = [next, left[next].shift()]
    if (shot === undefined) await whole(kind)
    else await t.test(`${kind}, ${shot.window}, killed after ${told(shot.step)}`, async (inner) => {
      missed.push(...await strike(kind, shot, (line) => inner.diagnostic(line)))
    })
  }
  for (const _ of kinds) await whole(next)
  t.diagnostic(`${kinds.map((kind) => `${all[kind].length} steps of ${kind}`).join(', ')}; ${strikesAtAll} strikes in ${Math.round((performance.now() - began) / 1_000)} s`)
  t.diagnostic(`not come to: ${missed.join(', ') || 'none'}`)
  assert.ok(missed.length * 4 < strikesAtAll, 'most steps come again')
  t.diagnostic(await endMoved(moved, watch))
  assert.deepEqual(await remains(moved.rig), [])
})

interface Shot {
  readonly step: Step
  readonly window: ClientWindow
}

async function shotsOf(kind: Kind, window: ClientWindow = 'hold'): Promise<readonly Shot[]> {
  return distinct(await whole(kind, window)).map((step) => ({ step, window }))
}

/** Steps that are taken only when reads go on. */
async function shotsWhileReading(kind: Kind, holding: readonly Shot[]): Promise<readonly Shot[]> {
  const known = new Set(holding.map(({ step }) => step.effect))
  return (await shotsOf(kind, 'readOnly')).filter(({ step }) => !known.has(step.effect))
}

async function whole(kind: Kind, window?: ClientWindow): Promise<readonly Step[]> {
  await moveWhole(moved, kind, window)
  next = otherWay(kind)
  return strikes.stepsOfLast()
}

function chosen(shots: readonly Shot[]): Shot[] {
  return shots.filter((_, index) => index % every === offset)
}

/** Of the same again and again, as when it is polled: the first two and the last. */
function distinct(steps: readonly Step[]): readonly Step[] {
  const isSame = (index: number): boolean => steps[index]?.effect === steps[index + 1]?.effect
  return steps.filter((_, index) => !(isSame(index - 2) && isSame(index - 1) && isSame(index)))
}

/** What was not come to. */
async function strike(kind: Kind, { step, window }: Shot, say: (line: string) => void): Promise<readonly string[]> {
  const began = performance.now()
  const { operation, wasStruck } = await moveStruck(moved, strikes, kind, step, window)
  const { outcome, failure } = operation
  if (outcome === 'succeeded') next = otherWay(kind)
  say(`${wasStruck ? '' : 'never came to it: '}${outcome} ${failure?.message ?? ''} (${Math.round(performance.now() - began)} ms)`)
  await assertConsistent(moved, watch, operation)
  return wasStruck ? [] : [`${kind}, ${window}, ${told(step)}`]
}
