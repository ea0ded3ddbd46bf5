/** An operation that one controller after the other works on, each of which dies after some effects of its life, until clients are to be moved. */
import assert from 'node:assert/strict'
import type { Operation } from '../../src/client/schema.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { limitMs, moveWhole, untilEnded, type Kind, type Moved } from './moves.ts'
import type { Random } from './random.ts'
import { ready } from './rig.ts'
import type { Strikes } from './strikes.ts'

/** Of a controller's life, once it is ready: what is there already is made sure of again, nine effects at the most before the next new one. */
const mostEffects = 15
const copyLimitMs = 15 * 60_000
/** Copying is over. */
const laterPhases: readonly string[] = ['movingClients', 'awaitingReplicas', 'awaitingFollower']

/** Succeeds in the end. Gives after how many effects each controller died. */
export async function endedByMany(moved: Moved, strikes: Strikes, random: Random, begun: Operation): Promise<readonly number[]> {
  const lives = await untilCopied(moved, strikes, random, begun)
  const { outcome, failure } = await untilEnded(moved, begun)
  // the last one may have died before it was spared
  if (outcome !== 'succeeded' && failure?.code === 'WentBack') await moveWhole(moved, begun.kind as Kind | 'downgrade')
  else assert.equal(outcome, 'succeeded', failure?.message)
  return lives
}

async function untilCopied(moved: Moved, strikes: Strikes, random: Random, begun: Operation): Promise<readonly number[]> {
  const { controller, service } = moved.rig
  const lives: number[] = []
  const deadline = performance.now() + copyLimitMs
  for (;;) {
    const nth = random.between(1, mostEffects)
    await ready(service, controller)
    await strikes.plan({ at: { effect: null, nth }, signal: 'SIGKILL' })
    if (await isCopiedInItsLife(moved, begun)) break
    await strikes.plan(null)
    lives.push(nth)
    assert.ok(performance.now() < deadline, `not copied within ${copyLimitMs / 1_000} s, after ${lives.length} controllers`)
  }
  await strikes.plan(null)
  await ready(service, controller)
  return lives
}

/** False when the controller died before. */
async function isCopiedInItsLife({ rig: { controller, service } }: Moved, { id }: Operation): Promise<boolean> {
  return until('the copy to be made, or the controller to die', async () => {
    if (!controller.isRunning()) return false
    const { data } = await service.api.GET('/v1/operations/{id}', { params: { path: { id } } }).catch(() => ({ data: undefined }))
    if (data === undefined) return new NotYet('it does not answer')
    return data.outcome !== null || laterPhases.includes(data.phase) ? true : new NotYet(data.phase)
  }, { limitMs, everyMs: 50 })
}
