/** A database that began as a cluster is taken back to one server: what stands in the way, what can be called off or die half-way, and what is lost. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import type { Database } from '../../src/client/schema.ts'
import { resourceNames } from '../../src/domain/names.ts'
import { ask, databaseOf, deleteDatabase, restored, untilBackedUp, untilDatabase, withSession } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { asCustomer, openHaProject, orderCluster, removeCluster, type ClusterCustomer } from '../harness/ha/customer.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startPooled } from '../harness/pooled.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

const operationLimitMs = 240_000
const goneLimitMs = 120_000
const execMs = 20_000
/** How long clients wait is a diagnostic: a machine that is busy must not make the move go back. */
const budgetMs = 15_000
/** Of rows of a kilobyte: so much that a copy, at the rate that the service is held to, can be met half-way. */
const rows = 100_000

type Kind = 'downgrade' | 'upgradeToHa'

describe('a cluster that is taken back to one server', () => {
  const ending = endings()
  let service: TestService
  let site: Site
  let shop: ClusterCustomer
  let clusterId: string

  before(async () => {
    service = await openService(ending)
    site = await openSite(service)
    shop = await orderCluster(site, await openHaProject(site), { name: 'shop' })
    await service.noteSecret(`password of ${shop.login.user}`, shop.login.password)
    ending.after(() => removeCluster(site, shop))
    await asCustomer(shop.readWrite, async (client) => {
      await client.query('create table if not exists orders (id bigint generated always as identity primary key, at timestamptz default now())')
      await client.query('create unlogged table if not exists scratch (id int)')
    })
    await asCustomer(shop.readWrite, (client) => client.query(`create table if not exists ballast as select n, repeat(md5(n::text), 32) as text from generate_series(1, ${rows}) n`))
    await untilBackedUp(service, shop.id)
    clusterId = (await databaseOf(service, shop.id)).instances[0]?.id ?? assert.fail('no instance')
  })

  const begin = async (kind: Kind, query: { readonly dryRun?: 'true' } = {}): Promise<string> =>
    (await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: shop.id }, query }, body: { kind, budgetMs } }))).id

  async function ended(id: string) {
    const phases = new Set<string>()
    const seen = await until('the operation to end', async () => {
      const now = await answerOf(service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
      phases.add(now.phase)
      return now.outcome === null ? new NotYet(`${now.phase}: ${now.waitingFor ?? ''} ${JSON.stringify(now.progress)}`) : now
    }, { limitMs: operationLimitMs, everyMs: 100 })
    return { ...seen, phases: [...phases] }
  }

  /** The container of the server that is made, once a part of the data is in it. */
  async function untilHalfCopied(): Promise<string> {
    const { instances } = await databaseOf(service, shop.id)
    const member = instances.find(({ role }) => role === 'rollbackTarget')?.members[0] ?? assert.fail('no server is made')
    const container = resourceNames(service.config.installation).member(member.id)
    return until('a half-made copy', async () => {
      const { exitCode } = await service.engine.exec(container, ['test', '-e', '/data/pg.new/global'], { timeoutMs: execMs }, AbortSignal.timeout(execMs)).catch(() => ({ exitCode: 1 }))
      return exitCode === 0 ? container : new NotYet('nothing is there yet')
    }, { limitMs: operationLimitMs, everyMs: 100 })
  }

  const rolesOf = ({ instances }: Database): string[] => instances.map(({ role, kind }) => `${role} ${kind}`).toSorted()

  test('is told what a copy would leave out, and nothing is begun', async () => {
    const { outcome, progress } = await ended(await begin('downgrade', { dryRun: 'true' }))
    assert.equal(outcome, 'succeeded')
    assert.match(JSON.stringify(progress), /"blockers":\[\{"code":"UnloggedTables"[^[]*\]/)
    assert.deepEqual(rolesOf(await databaseOf(service, shop.id)), ['serving cluster'])
    await asCustomer(shop.readWrite, (client) => client.query('drop table if exists scratch'))
  })

  test('serves on as it was when that is called off half-way', async () => {
    const id = await begin('downgrade')
    await untilHalfCopied()
    await answerOf(service.api.POST('/v1/operations/{id}/cancel', { params: { path: { id } } }))
    const { outcome, progress } = await ended(id)
    assert.equal(outcome, 'cancelled')
    assert.match(JSON.stringify(progress), /"totalBytes":\d{8,}/)
    const after = await untilDatabase(service, shop.id, 'the half-made server to be gone', ({ instances }) => instances.length === 1, { limitMs: goneLimitMs })
    assert.deepEqual([after.topology, ...rolesOf(after)], ['ha', 'serving cluster'])
  })

  /** Who writes through the pool sees no error, and what was acknowledged to anybody is there; by what they connected with from the first. */
  async function underClients(work: () => Promise<unknown>): Promise<string> {
    const text = 'insert into orders default values returning id'
    const count = (): Promise<number> => asCustomer(shop.readWrite, async (client) => Number((await client.query<{ count: string }>('select count(*) from orders')).rows[0]?.count))
    const earlier = await count()
    const [pooled, direct] = [await startPooled(shop.pooled, text), await startPooled(shop.readWrite, text)]
    await work().finally(() => Promise.all([pooled.stop(), direct.stop()]))
    assert.deepEqual(pooled.errors, [])
    const now = await count()
    assert.ok(now >= earlier + pooled.answers + direct.answers, `${now} of ${earlier} + ${pooled.answers} + ${direct.answers}`)
    return `${pooled.answers} + ${direct.answers} rows, pooled ${Math.round(pooled.longestGapMs)} ms, direct ${Math.round(direct.longestGapMs)} ms; direct errors: ${direct.errors.join('; ')}`
  }

  test('becomes one server without losing a row, even when that died half-way, and follows it', async (t) => {
    t.diagnostic(await underClients(async () => {
      const id = await begin('downgrade')
      const container = await untilHalfCopied()
      await service.docker.getContainer(container).kill()
      const { outcome, failure, phases, progress } = await ended(id)
      assert.equal(outcome, 'succeeded', failure?.message)
      assert.ok(phases.includes('copying'), phases.join())
      assert.match(await service.engine.logs(container, { tail: 2_000 }, AbortSignal.timeout(execMs)), /CopyCutShort/)
      t.diagnostic(JSON.stringify(progress))
    }))
    const after = await databaseOf(service, shop.id)
    assert.deepEqual([after.topology, ...rolesOf(after)], ['standalone', 'preparing cluster', 'serving standalone'])
    assert.equal(after.instances.find(({ role }) => role === 'preparing')?.id, clusterId)
    const ballast = await asCustomer(shop.readWrite, async (client) => (await client.query<{ count: string }>('select count(*) from ballast')).rows[0]?.count)
    assert.equal(Number(ballast), rows)
  })

  test('has its backups go on without a gap: a moment after the move is reached from a backup before it', async () => {
    const [{ lastId, at } = assert.fail('no row')] = await asCustomer(shop.readWrite, async (client) => {
      await client.query('insert into orders default values')
      return (await client.query<{ lastId: string; at: Date }>('select max(id)::text as "lastId", clock_timestamp() as at from orders')).rows
    })
    const copy = await restored(service, shop, { name: 'shop-again', at: at.toISOString() })
    assert.equal(await withSession(service, copy, (client) => ask(client, 'select max(id) from orders')), lastId)
    await deleteDatabase(service, copy)
  })

  test('is the same cluster again after an upgrade, and the same server takes over again', async (t) => {
    const serverId = (await databaseOf(service, shop.id)).instances.find(({ role }) => role === 'serving')?.id
    for (const [kind, servingId] of [['upgradeToHa', clusterId], ['downgrade', serverId]] as const) {
      t.diagnostic(await underClients(async () => {
        const { outcome, failure, phases } = await ended(await begin(kind))
        assert.equal(outcome, 'succeeded', failure?.message)
        assert.ok(kind === 'upgradeToHa' || !phases.includes('copying'), phases.join())
      }))
      const { instances } = await databaseOf(service, shop.id)
      assert.deepEqual([instances.length, instances.find(({ role }) => role === 'serving')?.id], [2, servingId])
      if (kind === 'upgradeToHa') await untilDatabase(service, shop.id, 'the server to follow', ({ status }) => status.rollback?.ready === true, { limitMs: goneLimitMs })
    }
  })
})
