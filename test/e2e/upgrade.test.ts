/** One server becomes a cluster under its clients: who waits, who errs, what is lost, and what follows afterwards. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { answerOf, ApiProblem } from '../../src/client/problem.ts'
import { label } from '../../src/domain/names.ts'
import { ask, connectionOf, deleteDatabase, newProject, readyDatabase, restored, untilBackedUp, untilDatabase, untilSettled, withSession, type Made } from '../harness/databases.ts'
import { containerOf } from '../harness/containers.ts'
import { endings } from '../harness/endings.ts'
import { memberPlaces } from '../harness/ha/customer.ts'
import { untilWhole } from '../harness/ha/members.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startNewcomer, startPooled } from '../harness/pooled.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

type Kind = 'upgradeToHa' | 'rollback'
type Window = 'hold' | 'readOnly'

const operationLimitMs = 240_000
const wholeLimitMs = 180_000
/** How long clients wait is a diagnostic: a machine that is busy must not make the move go back. */
const budgetMs = 15_000

describe('an upgrade to a cluster', () => {
  const ending = endings()
  let service: TestService
  let site: Site
  let shop: Made
  let teamId: string
  let beforehand: string

  before(async () => {
    service = await openService(ending)
    site = await openSite(service)
    const project = await newProject(service, 'upgrade')
    teamId = project.teamId
    shop = await readyDatabase(service, project.projectId, { name: 'shop', tier: 'standard' })
    ending.after(() => deleteDatabase(service, shop))
    await untilBackedUp(service, shop.id)
  })

  const path = () => ({ path: { id: shop.id } })
  async function perform(query: { readonly dryRun?: 'true' } = {}, kind: Kind = 'upgradeToHa', window: Window = 'hold') {
    const { id } = await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: { ...path(), query }, body: { kind, budgetMs, window } }))
    const phases = new Set<string>()
    const ended = await until('the operation to end', async () => {
      const seen = await answerOf(service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
      phases.add(seen.phase)
      return seen.outcome === null ? new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''}`) : seen
    }, { limitMs: operationLimitMs, everyMs: 100 })
    return { ...ended, phases: [...phases] }
  }

  test('says everything that stands in its way at once, and begins nothing', async () => {
    const refused = await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: path(), body: { kind: 'upgradeToHa' } })).catch((error: unknown) => error)
    assert.ok(refused instanceof ApiProblem && refused.complaint.code === 'HaNotEnabled', String(refused))
    const dryRestart = await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: { ...path(), query: { dryRun: 'true' } }, body: { kind: 'restart' } })).catch((error: unknown) => error)
    assert.ok(dryRestart instanceof ApiProblem && dryRestart.complaint.code === 'InvalidRequest', 'what has no dry run is not performed instead')
    await withSession(service, shop, (client) => client.query('create unlogged table scratch (id int)'))
    const { outcome, progress } = await perform({ dryRun: 'true' })
    assert.equal(outcome, 'succeeded')
    assert.deepEqual(codesOf(progress, 'blockers'), ['HaNotEnabled', 'UnloggedTables'])
    await withSession(service, shop, (client) => client.query('drop table scratch'))
    await answerOf(service.api.PUT('/v1/teams/{id}/ha', { params: { path: { id: teamId } }, body: { enabled: true } }))
    const again = await perform({ dryRun: 'true' })
    assert.deepEqual(codesOf(again.progress, 'blockers'), [])
    assert.deepEqual((await answerOf(service.api.GET('/v1/databases/{id}', { params: path() }))).instances.map(({ role }) => role), ['serving'])
  })

  test('is cancelled while it copies, and leaves the server as it was', async () => {
    const { id } = await answerOf(service.api.POST('/v1/databases/{id}/operations', { params: path(), body: { kind: 'upgradeToHa' } }))
    const phaseIs = (expected: string): Promise<unknown> => until(`the upgrade to be ${expected}`, async () => {
      const { phase, outcome } = await answerOf(service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
      return expected === (outcome ?? phase) ? true : new NotYet(outcome ?? phase)
    }, { limitMs: operationLimitMs, everyMs: 50 })
    await phaseIs('copying')
    await answerOf(service.api.POST('/v1/operations/{id}/cancel', { params: { path: { id } } }))
    await phaseIs('cancelled')
    await untilDatabase(service, shop.id, 'the cluster-to-be to be gone', ({ instances }) => instances.length === 1, { limitMs: wholeLimitMs })
    await untilSettled(service, shop.id)
    const { id: containerId } = await containerOf(service, shop.id, 'member')
    const { stdout } = await service.engine.exec(containerId, ['psql', '-XAtU', 'postgres', '-c', 'select slot_name from pg_replication_slots'], {}, AbortSignal.timeout(20_000))
    assert.equal(stdout.trim(), 'holdfast_wal')
  })

  test('moves the clients, who wait for a moment and lose nothing', async (t) => {
    await withSession(service, shop, (client) => client.query('create table orders (id bigint generated always as identity primary key, at timestamptz default now())'))
    await mark('before')
    beforehand = new Date().toISOString()
    t.diagnostic(await underClients('upgradeToHa'))
    await untilWhole(site, await memberPlaces(site, shop.id), wholeLimitMs)
  })

  /**
   * Pooled clients see no error, whoever connects anew neither, and what was acknowledged is there. What they waited is told. When reads
   * go on, writers are told so by PostgreSQL.
   */
  async function underClients(kind: Kind, window: Window = 'hold'): Promise<string> {
    const before = Number(await withSession(service, shop, (client) => ask(client, 'select count(*) from orders')))
    const pool = await connectionOf(service, shop, { port: 'pooled' })
    const direct = await connectionOf(service, shop)
    const writer = await startPooled(pool, 'insert into orders default values returning id')
    const newcomer = await startNewcomer(pool, 'select 1')
    const directWriter = await startPooled(direct, 'insert into orders default values returning id')
    const poolReader = await startPooled(pool, 'select count(*) from orders')
    const reader = await startPooled({ ...await connectionOf(service, shop, { port: 'ro' }) }, 'select count(*) from orders')
    const { outcome, failure, phases, progress } = await perform({}, kind, window)
    await Promise.all([writer, newcomer, poolReader, directWriter, reader].map((client) => client.stop()))
    assert.equal(outcome, 'succeeded', failure?.message)
    const refused = writer.errors.filter((error) => window === 'readOnly' && error.includes('in a read-only transaction'))
    assert.deepEqual([...writer.errors.filter((error) => !refused.includes(error)), ...newcomer.errors, ...poolReader.errors], [])
    assert.equal(refused.length > 0, window === 'readOnly')
    const count = Number(await withSession(service, shop, (client) => ask(client, 'select count(*) from orders')))
    assert.ok(count >= before + writer.answers + directWriter.answers, `${count} of ${before} + ${writer.answers} + ${directWriter.answers}`)
    return `${window} ${phases.join(', ')} ${JSON.stringify(progress)}: pooled reads ${Math.round(poolReader.longestGapMs)} ms, pooled ${Math.round(writer.longestGapMs)} ms, newcomers ${Math.round(newcomer.longestGapMs)} ms, direct ${Math.round(directWriter.longestGapMs)} ms, `
      + `reads ${Math.round(reader.longestGapMs)} ms; direct errors: ${directWriter.errors.join('; ')}; reader errors: ${reader.errors.join('; ')}`
  }

  const mark = (text: string): Promise<unknown> => withSession(service, shop, async (client) => {
    await client.query('create table if not exists marks (text text)')
    await client.query('insert into marks values ($1)', [text])
  })

  test('has the former server follow: it takes no writes, and nobody is led there', async () => {
    const seen = await untilDatabase(service, shop.id, 'the former server to follow', ({ instances }) =>
      instances.some(({ role, members }) => role === 'rollbackTarget' && members.every((member) => member.role === 'standby')), { limitMs: wholeLimitMs })
    assert.equal(seen.topology, 'ha')
    const [former] = await service.engine.listContainers({ [label.database]: shop.id, [label.instance]: seen.instances.find(({ role }) => role === 'rollbackTarget')?.id ?? '', [label.kind]: 'member' }, AbortSignal.timeout(20_000))
    assert.ok(former !== undefined)
    const psql = async (text: string): Promise<string> => {
      const { stdout, stderr } = await service.engine.exec(former.id, ['psql', '-XAtU', 'postgres', '-d', shop.login.database, '-c', text], {}, AbortSignal.timeout(20_000))
      return (stdout + stderr).trim()
    }
    assert.match(await psql('set default_transaction_read_only = off; insert into orders default values'), /read-only transaction/)
    await service.docker.getContainer(former.id).restart()
    await until('the former server to follow again', async () => ((await psql('select pg_is_in_recovery(), count(*) from pg_stat_wal_receiver')) === 't|1' ? true : new NotYet('not yet')), { limitMs: wholeLimitMs })
  })

  const rolesOf = async (): Promise<string[]> => (await answerOf(service.api.GET('/v1/databases/{id}', { params: path() }))).instances.map(({ role }) => role).toSorted()

  test('goes back to the former server, which lacks no row, and the cluster follows it', async (t) => {
    await untilSettled(service, shop.id)
    await withSession(service, shop, (client) => client.query('create unlogged table scratch (id int)'))
    assert.deepEqual(codesOf((await perform({ dryRun: 'true' }, 'rollback')).progress, 'blockers'), ['UnloggedTables'])
    await withSession(service, shop, (client) => client.query('drop table scratch'))
    await mark('in the cluster')
    t.diagnostic(await underClients('rollback'))
    const { topology, instances } = await answerOf(service.api.GET('/v1/databases/{id}', { params: path() }))
    assert.deepEqual([topology, instances.find(({ role }) => role === 'serving')?.members.length], ['standalone', 1])
    assert.deepEqual(await rolesOf(), ['preparing', 'serving'])
    await mark('back again')
  })

  test('makes the same cluster serve again, and goes back again', async (t) => {
    for (const [kind, window] of [['upgradeToHa', 'readOnly'], ['rollback', 'readOnly'], ['upgradeToHa', 'hold']] as const) {
      t.diagnostic(await underClients(kind, window))
      await mark(kind)
    }
    await untilWhole(site, await memberPlaces(site, shop.id), wholeLimitMs)
    assert.deepEqual(await rolesOf(), ['rollbackTarget', 'serving'])
    assert.deepEqual(await scriptErrors(service, shop.id), [])
  })

  test('can be restored to a moment before the moves, and to one after them', async () => {
    await untilSettled(service, shop.id)
    await mark('after')
    const afterwards = new Date().toISOString()
    for (const [at, expected] of [[beforehand, 'before'], [afterwards, 'after, back again, before, in the cluster, rollback, upgradeToHa, upgradeToHa']] as const) {
      const copy = await restored(service, shop, { name: `shop-${expected.length}`, at })
      assert.equal(await withSession(service, copy, (client) => ask(client, `select string_agg(text, ', ' order by text) from marks`)), expected)
      await deleteDatabase(service, copy)
    }
  })
})

/** Clients are held by scripts: an error in one of them would be seen by clients only now and then. */
async function scriptErrors(service: TestService, databaseId: string): Promise<string[]> {
  const proxies = await service.engine.listContainers({ [label.database]: databaseId, [label.kind]: 'endpoint' }, AbortSignal.timeout(20_000))
  const logs = await Promise.all(proxies.map(({ id }) => service.engine.logs(id, { tail: 2_000, stderr: true }, AbortSignal.timeout(20_000))))
  return logs.flatMap((log) => log.split('\n')).filter((line) => /runtime error|was not looked after|were not looked after/.test(line))
}

function codesOf(progress: unknown, of: 'blockers' | 'warnings'): string[] {
  const found = (progress as Record<string, readonly { readonly code: string }[]>)[of]
  return (found ?? []).map(({ code }) => code)
}
