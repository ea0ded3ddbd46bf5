/**
 * What a move between a server and a cluster stands on fails at chosen moments of it: the controller is frozen right after a step, the fault is
 * done, the controller goes on. Whatever comes of it: the move succeeds or the database is as before, the customer writes on, no two servers
 * ever acknowledge at once, and nothing acknowledged is missing. `HOLDFAST_TEST_EVERY=k` as in upgradeSteps.test.ts.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { before, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import { endings } from '../harness/endings.ts'
import { untilClusterSettled } from '../harness/ha/customer.ts'
import type { Watch } from '../harness/ha/watch.ts'
import { remains } from './census.ts'
import { lookAround, moveFaults, type MoveFault } from './moveFaults.ts'
import { assertConsistent, endMoved, moveFrozen, moveWhole, movingSettings, openMoved, otherWay, untilEnded, watchAll, type Kind, type Moved } from './moves.ts'
import { seededRandom } from './random.ts'
import { openRig } from './rig.ts'
import { firstEffect, openStrikes, type Step, type Strikes } from './strikes.ts'

const random = seededRandom()
const every = Number(process.env['HOLDFAST_TEST_EVERY'] ?? 1)
const offset = random.between(0, every - 1)
/** What does not mend itself lasts so long. */
const lastsMs = 6_000
const settleMs = 300_000
const ending = endings()
let strikes: Strikes
let moved: Moved
let watch: Watch

/** After which of the steps that a move took: which of those that fit, from the front or from the back. */
type Moment = readonly [name: string, effect: RegExp, at: 0 | -1]

const moments: Readonly<Record<Kind, readonly Moment[]>> = {
  upgradeToHa: [
    ['preflight', new RegExp(firstEffect), 0], ['the server is fenced', /ran set-fence/, 0], ['clients are held', /holdfast hold/, 0], ['the server has stopped', /stop-server answered/, 0],
    ['the cluster is told to lead', /^etcd: txn/, -1], ['awaitingReplicas', /enter awaitingReplicas/, 0],
  ],
  rollback: [
    ['preflight', new RegExp(firstEffect), 0], ['Patroni is paused', /^etcd: txn/, 0], ['clients are held', /holdfast hold/, 0], ['the leader has stopped', /stop-leader answered/, 0],
    ['the server is promoted', /pg_promote/, 0], ['awaitingFollower', /enter awaitingFollower/, 0],
  ],
}

before(async () => {
  strikes = await openStrikes(ending)
  moved = await openMoved(await openRig(ending, { settings: { ...strikes.settings, ...movingSettings } }), 'shop')
  await whole('upgradeToHa')
  watch = await watchAll(moved)
  ending.after(() => watch.stop())
  for (const kind of ['rollback', 'upgradeToHa'] as const) steps[kind] = await whole(kind)
})

const steps: Record<Kind, readonly Step[]> = { upgradeToHa: [], rollback: [] }

async function whole(kind: Kind): Promise<readonly Step[]> {
  await moveWhole(moved, kind)
  return strikes.stepsOfLast()
}

const from = { upgradeToHa: 'standalone', rollback: 'ha' } as const
const cases = Object.entries(moveFaults).flatMap(([name, fault]) => (['rollback', 'upgradeToHa'] as const).flatMap((kind) => moments[kind].map((moment) => ({ name, fault, kind, moment }))))

for (const { name, fault, kind, moment } of cases.filter((_, index) => index % every === offset)) {
  test(`${name} in the ${kind === 'rollback' ? 'way back' : 'upgrade'}, at the moment: ${moment[0]} (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
    if (await serves() !== from[kind]) await whole(otherWay(kind))
    t.diagnostic(await survives(kind, moment, fault))
  })
}

/** Whatever became of the case before. */
async function serves(): Promise<'standalone' | 'ha'> {
  return (await answerOf(moved.rig.service.api.GET('/v1/databases/{id}', { params: { path: { id: moved.customer.id } } }))).topology
}

async function survives(kind: Kind, moment: Moment, fault: MoveFault): Promise<string> {
  await untilClusterSettled(moved.site, moved.customer.id, settleMs)
  const scene = await lookAround(moved)
  const gapSince = watch.writer.now()
  let mend = (): Promise<void> => Promise.resolve()
  const begun = await moveFrozen(moved, strikes, kind, stepAt(kind, moment), async () => {
    mend = await fault(moved, scene)
  })
  await sleep(lastsMs)
  await mend()
  const ended = await untilEnded(moved, begun)
  await assertConsistent(moved, watch, ended)
  return `${ended.outcome} ${ended.failure?.message ?? ''}; no write for ${Math.round(watch.writer.gapSince(gapSince))} ms`
}

function stepAt(kind: Kind, [name, effect, at]: Moment): Step {
  const found = steps[kind].filter((step) => effect.test(step.effect)).at(at)
  assert.ok(found !== undefined, `no step of the ${kind} is "${name}": ${steps[kind].map((step) => step.effect).join(', ')}`)
  return found
}

test('afterwards nothing acknowledged is missing, and nothing is left over', async (t) => {
  t.diagnostic(await endMoved(moved, watch))
  assert.deepEqual(await remains(moved.rig), [])
})
