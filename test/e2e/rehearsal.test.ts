/** An upgrade rehearsed on a copy: what it tells, that nobody notices it, and that nothing of it stays; then the upgrade itself. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { z } from 'zod'
import { answerOf, ApiProblem } from '../../src/client/problem.ts'
import type { Operation } from '../../src/client/schema.ts'
import { ask, connectionOf, databaseOf, deleteDatabase, newProject, readyDatabase, untilBackedUp, withSession, type Made } from '../harness/databases.ts'
import { everythingOf } from '../harness/containers.ts'
import { endings } from '../harness/endings.ts'
import { startPooled } from '../harness/pooled.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

const operationLimitMs = 240_000
/** How long clients wait is a diagnostic: a machine that is busy must not make the move go back. */
const budgetMs = 15_000
const rows = 40_000

const told = z.object({ pauseMs: z.number(), databaseBytes: z.number(), restoredInSeconds: z.number(), copiedInSeconds: z.number(), steps: z.record(z.string(), z.number()), summary: z.string() })

describe('a rehearsal of an upgrade', () => {
  const ending = endings()
  let service: TestService
  let shop: Made
  let projectId: string

  before(async () => {
    service = await openService(ending)
    const project = await newProject(service, 'rehearsal')
    projectId = project.projectId
    await answerOf(service.api.PUT('/v1/teams/{id}/ha', { params: { path: { id: project.teamId } }, body: { enabled: true } }))
    shop = await readyDatabase(service, projectId, { name: 'shop', tier: 'standard' })
    ending.after(() => deleteDatabase(service, shop))
    await withSession(service, shop, (client) => client.query(`create table orders as select id::bigint, md5(id::text) || repeat('x', 200) as text from generate_series(1, ${rows}) id`))
    await withSession(service, shop, (client) => client.query('create table written (id bigint generated always as identity primary key, at timestamptz default now())'))
    await untilBackedUp(service, shop.id)
  })

  async function order(body: { readonly rehearse?: true }): Promise<Operation> {
    return answerOf(service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: shop.id } }, body: { kind: 'upgradeToHa', budgetMs, ...body } }))
  }

  /** `each`: asked again and again meanwhile. */
  async function untilEnded({ id }: Operation, each: () => Promise<void> = () => Promise.resolve()): Promise<Operation & { readonly phases: readonly string[] }> {
    const began = performance.now()
    const phases = new Map<string, number>()
    const ended = await until('the operation to end', async () => {
      const seen = await answerOf(service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
      if (!phases.has(seen.phase)) phases.set(seen.phase, Math.round((performance.now() - began) / 1_000))
      await each()
      return seen.outcome === null ? new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''} ${JSON.stringify(seen.progress)}`) : seen
    }, { limitMs: operationLimitMs, everyMs: 200 })
    return { ...ended, phases: [...phases].map(([phase, seconds]) => `${phase} after ${seconds} s`) }
  }

  const copiesOf = async () => (await answerOf(service.api.GET('/v1/projects/{id}/databases', { params: { path: { id: projectId } } }))).items.filter(({ rehearsalOf }) => rehearsalOf !== null)

  test('has no dry run, and begins nothing then', async () => {
    const refused = await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: shop.id }, query: { dryRun: 'true' } }, body: { kind: 'upgradeToHa', rehearse: true } })).catch((error: unknown) => error)
    assert.ok(refused instanceof ApiProblem && refused.complaint.code === 'InvalidRequest', String(refused))
    assert.deepEqual((await databaseOf(service, shop.id)).status.operation, null)
  })

  test('is cancelled as soon as there is a copy, and takes that away', async () => {
    const operation = await order({ rehearse: true })
    let copyId = ''
    const { outcome, phases } = await untilEnded(operation, async () => {
      const [copy] = await copiesOf()
      if (copy === undefined || copyId !== '') return
      copyId = copy.id
      await answerOf(service.api.POST('/v1/operations/{id}/cancel', { params: { path: { id: operation.id } } }))
    })
    assert.equal(outcome, 'cancelled', phases.join(', '))
    assert.notEqual(copyId, '')
    assert.deepEqual([await copiesOf(), await everythingOf(service, copyId)], [[], []])
  })

  test('tells how long clients would wait, and the clients there are notice nothing', async (t) => {
    const writers = await Promise.all((['rw', 'pooled'] as const).map(async (port) => startPooled(await connectionOf(service, shop, { port }), 'insert into written default values returning id')))
    const { containers } = await instanceFacts()
    let copyId = ''
    let shown: unknown = null
    const { outcome, failure, phases, progress } = await untilEnded(await order({ rehearse: true }), async () => {
      const [copy] = await copiesOf()
      if (copy === undefined || copyId !== '') return
      copyId = copy.id
      shown = [copy.rehearsalOf, copy.name.startsWith('shop-rehearsal-'), copy.allowList]
    })
    await Promise.all(writers.map((writer) => writer.stop()))
    assert.equal(outcome, 'succeeded', failure?.message)
    assert.deepEqual(shown, [shop.id, true, []])
    const found = told.parse(progress)
    t.diagnostic(`${phases.join(', ')}: ${found.summary}; ${JSON.stringify(found)}; longest wait of a client meanwhile ${Math.round(Math.max(...writers.map(({ longestGapMs }) => longestGapMs)))} ms`)
    assert.ok(found.pauseMs > 0 && found.databaseBytes > rows * 200)
    // a session that is made anew is counted as an error
    assert.deepEqual(writers.flatMap(({ errors }) => errors), [])
    const count = Number(await withSession(service, shop, (client) => ask(client, 'select count(*) from written')))
    assert.ok(count >= writers.reduce((sum, { answers }) => sum + answers, 0))
    assert.deepEqual((await instanceFacts()), { containers, topology: 'standalone', roles: ['serving'] })
    assert.deepEqual([await copiesOf(), await everythingOf(service, copyId), await backupsLeft(copyId)], [[], [], 'NotFound'])
  })

  async function instanceFacts() {
    const { topology, instances } = await databaseOf(service, shop.id)
    return { containers: instances.flatMap(({ members }) => members.map(({ containerId }) => containerId)), topology, roles: instances.map(({ role }) => role) }
  }

  /** They go last, and their database's row with them. */
  const backupsLeft = (id: string): Promise<unknown> =>
    answerOf(service.api.GET('/v1/databases/{id}/backups', { params: { path: { id } } })).then(({ items }) => items, (error: unknown) => (error instanceof ApiProblem ? error.complaint.code : error))

  test('is followed by the upgrade itself', async (t) => {
    const { outcome, failure, progress } = await untilEnded(await order({}))
    assert.equal(outcome, 'succeeded', failure?.message)
    t.diagnostic(JSON.stringify(progress))
    assert.equal(await withSession(service, shop, (client) => ask(client, 'select count(*) from orders')), String(rows))
  })
})
