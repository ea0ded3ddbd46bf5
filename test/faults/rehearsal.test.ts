/**
 * The controller is killed (SIGKILL) in each phase of a rehearsal, and started again: there is never more than one copy, and nothing of it
 * stays. The same when the database itself is deleted amid a rehearsal.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { before, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import type { Database, Operation } from '../../src/client/schema.ts'
import { readyDatabase, untilBackedUp, type Made } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { NotYet } from '../harness/waiting.ts'
import { remains } from './census.ts'
import { gone, remove } from './customer.ts'
import { seededRandom } from './random.ts'
import { eventually, openRig, ready, type Rig } from './rig.ts'

const random = seededRandom()
const ending = endings()
const phases = ['preflight', 'restoring', 'awaitingBackup', 'upgrading', 'removing'] as const
const longestDelayMs = 2_000
const limitMs = 240_000
let rig: Rig
let projectId: string
let made: Made

before(async () => {
  rig = await openRig(ending)
  const team = await answerOf(rig.service.api.POST('/v1/teams', { body: { name: 'rehearsals' } }))
  await answerOf(rig.service.api.PUT('/v1/teams/{id}/ha', { params: { path: { id: team.id } }, body: { enabled: true } }))
  projectId = (await answerOf(rig.service.api.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name: 'main' } }))).id
  made = await readyDatabase(rig.service, projectId, { name: 'shop', tier: 'standard' })
  await untilBackedUp(rig.service, made.id)
})

test(`a controller killed in every phase of a rehearsal makes one copy and leaves nothing of it (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const { id } = await rehearse()
  const copies = new Set<string>()
  for (const phase of phases) {
    await eventually(`the phase ${phase}`, async () => {
      const seen = await look(id)
      for (const copy of await copiesOf()) copies.add(copy.id)
      return seen.outcome !== null || phases.findIndex((one) => one === seen.phase) >= phases.indexOf(phase) ? true : new NotYet(seen.phase)
    }, limitMs)
    const delayMs = random.between(0, longestDelayMs)
    await sleep(delayMs)
    await rig.controller.kill()
    await rig.controller.start()
    await ready(rig.service, rig.controller)
    t.diagnostic(`killed ${delayMs} ms into ${phase}`)
  }
  const ended = await eventually('the rehearsal to end', async () => {
    const seen = await look(id)
    return seen.outcome === null ? new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''}`) : seen
  }, limitMs)
  t.diagnostic(`${ended.outcome ?? ''} ${ended.failure?.message ?? ''} ${JSON.stringify(ended.progress)}`)
  // killed while the clients of the copy are moved, the next controller may have led them back
  assert.ok(ended.outcome === 'succeeded' || ended.failure?.code === 'WentBack', ended.failure?.message)
  assert.equal(copies.size, 1)
  assert.deepEqual(await copiesOf(), [])
})

test('a database that is deleted amid a rehearsal takes the copy with it', async () => {
  await rehearse()
  const copy = await eventually('the copy to be upgraded', async () => {
    const [one] = await copiesOf()
    return one?.status.operation?.phase === 'copying' ? one : new NotYet(`${one?.status.operation?.kind ?? ''} ${one?.status.operation?.phase ?? ''}`)
  }, limitMs)
  await remove(rig, made)
  await gone(rig, made)
  await gone(rig, copy)
  assert.deepEqual(await remains(rig), [])
})

function rehearse(): Promise<Operation> {
  const order = { kind: 'upgradeToHa', rehearse: true, budgetMs: 15_000 } as const
  return answerOf(rig.service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: made.id } }, body: order }))
}

function look(id: string): Promise<Operation> {
  return answerOf(rig.service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
}

async function copiesOf(): Promise<readonly Database[]> {
  const { items } = await answerOf(rig.service.api.GET('/v1/projects/{id}/databases', { params: { path: { id: projectId } } }))
  return items.filter(({ rehearsalOf, name }) => rehearsalOf !== null || name.includes('-rehearsal-'))
}
