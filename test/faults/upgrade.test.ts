/**
 * The controller is killed (SIGKILL) at random moments while clients are moved from one server to a cluster and back, and started again.
 * Whatever comes of it: what was acknowledged is there, one of the two serves and the other cannot, and asked again it ends well.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { before, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import type { Operation } from '../../src/client/schema.ts'
import { connectionOf, readyDatabase, untilBackedUp, type Made } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { openSession } from '../harness/ha/session.ts'
import { NotYet } from '../harness/waiting.ts'
import { remains } from './census.ts'
import { gone, remove } from './customer.ts'
import { seededRandom } from './random.ts'
import { eventually, openRig, ready, type Rig } from './rig.ts'

const random = seededRandom()
const ending = endings()
const kills = 10
const longestDelayMs = 3_500
const limitMs = 240_000
let rig: Rig
let projectId: string

before(async () => {
  rig = await openRig(ending)
  const team = await answerOf(rig.service.api.POST('/v1/teams', { body: { name: 'upgrades' } }))
  await answerOf(rig.service.api.PUT('/v1/teams/{id}/ha', { params: { path: { id: team.id } }, body: { enabled: true } }))
  projectId = (await answerOf(rig.service.api.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name: 'main' } }))).id
})

test(`a controller killed while it moves clients, there and back, loses nothing (HOLDFAST_TEST_SEED=${random.seed})`, async (t) => {
  const made = await readyDatabase(rig.service, projectId, { name: 'shop', tier: 'standard' })
  await untilBackedUp(rig.service, made.id)
  const writer = await startWriter(made)
  let kind: Kind = 'upgradeToHa'
  for (let killed = 0; killed < kills; killed += 1) {
    const delayMs = random.between(0, longestDelayMs)
    const ended = await move(made, kind, delayMs)
    t.diagnostic(`${kind} killed ${delayMs} ms after clients began to be moved: ${ended.outcome} ${ended.failure?.message ?? ''}`)
    await writer.goesOn()
    if (ended.outcome === 'succeeded') kind = kind === 'upgradeToHa' ? 'rollback' : 'upgradeToHa'
  }
  // asked again, and left alone, either way ends well
  for (const _ of [1, 2]) {
    assert.equal((await move(made, kind, null)).outcome, 'succeeded')
    kind = kind === 'upgradeToHa' ? 'rollback' : 'upgradeToHa'
    await writer.goesOn()
  }
  const acknowledged = await writer.stop()
  const found = await rowsOf(made)
  assert.deepEqual(acknowledged.filter((id) => !found.has(id)), [], 'every acknowledged row is there')
  t.diagnostic(`${acknowledged.length} acknowledged`)
  await remove(rig, made)
  await gone(rig, made)
  assert.deepEqual(await remains(rig), [])
})

type Kind = 'upgradeToHa' | 'rollback'

async function move(made: Made, kind: Kind, delayMs: number | null): Promise<Operation> {
  const { api } = rig.service
  const params = { path: { id: made.id } }
  // what an earlier one left goes first
  const begun = await eventually(`the ${kind} to begin`, async () => {
    const { data, error } = await api.POST('/v1/databases/{id}/operations', { params, body: { kind, budgetMs: 15_000 } })
    return data ?? new NotYet(JSON.stringify(error))
  }, limitMs)
  const look = async (): Promise<Operation> => answerOf(api.GET('/v1/operations/{id}', { params: { path: { id: begun.id } } }))
  if (delayMs !== null) {
    await eventually('clients to be moved', async () => {
      const { phase, outcome } = await look()
      return phase === 'movingClients' || outcome !== null ? true : new NotYet(phase)
    }, limitMs)
    await sleep(delayMs)
    await rig.controller.kill()
    await rig.controller.start()
    await ready(rig.service, rig.controller)
  }
  return eventually(`the ${kind} to end`, async () => {
    const seen = await look()
    return seen.outcome === null ? new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''}`) : seen
  }, limitMs)
}

interface Writer {
  /** Another row is acknowledged. */
  goesOn(): Promise<void>
  /** Ids of the rows that were acknowledged. */
  stop(): Promise<readonly string[]>
}

/** Errs as a customer does who connects anew at once. */
async function startWriter(made: Made): Promise<Writer> {
  const config = await connectionOf(rig.service, made)
  const acknowledged: string[] = []
  const end = new AbortController()
  const first = await openSession(config, 10_000)
  await first.client.query('create table written (id uuid primary key default gen_random_uuid())')
  first.leave()
  const going = (async () => {
    while (!end.signal.aborted) {
      const session = await openSession({ ...config, query_timeout: 5_000 }, 10_000).catch(() => null)
      try {
        while (session !== null && !end.signal.aborted) {
          const { rows } = await session.client.query<{ id: string }>('insert into written default values returning id')
          acknowledged.push(rows[0]?.id ?? '')
          await sleep(5)
        }
      } catch {
        await sleep(20)
      } finally {
        session?.leave()
      }
    }
  })()
  return {
    async goesOn() {
      const before = acknowledged.length
      await eventually('a row to be acknowledged', () => Promise.resolve(acknowledged.length > before ? true : new NotYet(String(before))), limitMs)
    },
    async stop() {
      end.abort()
      await going
      return acknowledged
    },
  }
}

async function rowsOf(made: Made): Promise<ReadonlySet<string>> {
  const session = await openSession(await connectionOf(rig.service, made), 10_000)
  const { rows } = await session.client.query<{ id: string }>('select id from written')
  session.leave()
  return new Set(rows.map(({ id }) => id))
}
