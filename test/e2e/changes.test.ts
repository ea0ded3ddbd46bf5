/** What an owner changes on a database that is in use, and going back in time without losing the present. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import type { Database } from '../../src/client/schema.ts'
import { tiers } from '../../src/domain/tiers.ts'
import { containerOf, inspect, untilRunning } from '../harness/containers.ts'
import {
  ask, conditionOf, connectionOf, databaseOf, deleteDatabase, newProject, readyDatabase, reconcile, restored, session, untilBackedUp, untilCondition, untilDatabase,
  untilSettled, withSession, type Made,
} from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { startNewcomer, startPooled } from '../harness/pooled.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

const path = ({ id }: Made) => ({ params: { path: { id } } })

describe('a database in use', () => {
  const ending = endings()
  let service: TestService
  let main: Made
  let past: Made

  before(async () => {
    service = await openService(ending)
    const { projectId } = await newProject(service, 'changes')
    main = await readyDatabase(service, projectId, { name: 'main' })
    ending.after(() => deleteDatabase(service, main))
    await untilBackedUp(service, main.id)
  })

  test('gets a new password while the old one still works, shows who uses it, and ends it on time', async () => {
    const old = await session(service, main)
    // settled first, so that the pass that follows sees the session
    await ask(old, 'select 1')
    const { credentials: next } = await answerOf(service.api.POST('/v1/databases/{id}/credentials/rotate', { ...path(main), body: { overlapSeconds: 12 } }))
    await service.noteSecret(`password of ${next.user}`, next.password)
    assert.notEqual(next.user, main.login.user)
    await until('the new password works', () => withSession(service, main, (it) => ask(it, 'select 1'), next).then(() => true, (error: unknown) => new NotYet(String(error))), { limitMs: 10_000 })
    assert.equal(await withSession(service, main, (it) => ask(it, 'select 1')), '1', 'the old password works during the overlap')
    const roles = async () => (await answerOf(service.api.GET('/v1/databases/{id}/credentials', path(main)))).items
    const shown = await until('the old role is shown to be in use', async () => {
      const role = (await roles()).find(({ roleName }) => roleName === main.login.user)
      return role !== undefined && role.lastSeenAt !== null ? role : new NotYet(JSON.stringify(role))
    }, { limitMs: 12_000 })
    assert.equal(shown.state, 'ending')
    const ended = await until('the old role has ended', async () => {
      const role = (await roles()).find(({ roleName }) => roleName === main.login.user)
      return role?.state === 'ended' ? role : new NotYet(JSON.stringify(role))
    }, { limitMs: 30_000 })
    assert.ok(Date.parse(ended.endedAt ?? '') >= Date.parse(ended.endsAt ?? ''), 'not before its time')
    await assert.rejects(old.query('select 1'), 'the session of the old role was ended')
    await old.end().catch(() => undefined)
    for (const port of ['rw', 'pooled'] as const) await assert.rejects(session(service, main, { port }), port)
    // objects belong to an owner role, so the new login has all of them
    main = { ...main, login: next }
    await withSession(service, main, (it) => it.query('create table moments (what text primary key)'))
  })

  test('is restored as it was at a moment, beside the present one', async () => {
    const at = await withSession(service, main, async (it) => {
      await it.query(`insert into moments values ('before')`)
      const moment = await ask(it, `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)
      await it.query(`select pg_sleep(0.1)`)
      await it.query(`insert into moments values ('after')`)
      return moment ?? ''
    })
    past = await restored(service, main, { name: 'past', at })
    ending.after(() => deleteDatabase(service, past))
    assert.equal(await withSession(service, past, (it) => ask(it, 'select string_agg(what, $1 order by what) from moments', [','])), 'before')
    assert.equal(await withSession(service, main, (it) => ask(it, 'select string_agg(what, $1 order by what) from moments', [','])), 'after,before')
  })

  test('hands its endpoint to the restored one: old sessions end, each is reached under the other’s address', async () => {
    const [before, other] = [await databaseOf(service, main.id), await databaseOf(service, past.id)]
    const held = await session(service, main)
    const { id: operationId } = await answerOf(service.api.POST('/v1/databases/{id}/operations', { ...path(past), body: { kind: 'takeOverEndpoint', fromDatabaseId: main.id } }))
    await until('the endpoint is taken over', async () => {
      const { outcome, phase, failure } = await answerOf(service.api.GET('/v1/operations/{id}', { params: { path: { id: operationId } } }))
      assert.notEqual(outcome, 'failed', failure?.message)
      return outcome === 'succeeded' ? true : new NotYet(phase)
    })
    await Promise.all([untilSettled(service, main.id), untilSettled(service, past.id)])
    assert.deepEqual((await databaseOf(service, past.id)).endpoint, before.endpoint)
    assert.deepEqual((await databaseOf(service, main.id)).endpoint, other.endpoint)
    await assert.rejects(held.query('select 1'), 'a session of the old database may not go on under the address it has lost')
    await held.end().catch(() => undefined)
    for (const port of ['rw', 'ro', 'pooled'] as const) {
      assert.equal(await withSession(service, past, (it) => ask(it, 'select count(*) from moments'), { port }), '1', `past, ${port}`)
      assert.equal(await withSession(service, main, (it) => ask(it, 'select count(*) from moments'), { port }), '2', `main, ${port}`)
    }
  })

  test('is not acted on while it is paused, and made right when it is resumed', async () => {
    const change = (body: { readonly paused: boolean }): Promise<Database> => answerOf(service.api.PATCH('/v1/databases/{id}', { ...path(past), body }))
    await change({ paused: true })
    await untilCondition(service, past.id, 'Paused', 'true')
    const { id } = await containerOf(service, past.id, 'endpoint')
    await service.engine.removeContainer(id, { force: true }, AbortSignal.timeout(30_000))
    await reconcile(service, past.id)
    const seen = await untilCondition(service, past.id, 'EndpointAvailable', 'false')
    assert.equal(conditionOf(seen, 'Progressing')?.reason, 'Paused')
    await assert.rejects(containerOf(service, past.id, 'endpoint'), 'nothing was made in its place')
    await change({ paused: false })
    await untilRunning(service, past.id, 'endpoint')
    await untilCondition(service, past.id, 'Ready', 'true')
    assert.equal(await withSession(service, past, (it) => ask(it, 'select count(*) from moments')), '1')
  })

  test('gets the limits and the storage of a larger tier, with its rows, while its clients wait', async (t) => {
    const direct = await connectionOf(service, main)
    const pool = await connectionOf(service, main, { port: 'pooled' })
    const writer = await startPooled(pool, 'insert into moments values (gen_random_uuid()::text)')
    const pooled = [writer, await startPooled({ ...pool, database: `${main.login.database}_ro` }, 'select count(*) from moments'), await startNewcomer(pool, 'select 1')]
    const newcomer = await startNewcomer(direct, 'select 1')
    const clients = [...pooled, newcomer]
    const before = await containerOf(service, main.id, 'member')
    await answerOf(service.api.PATCH('/v1/databases/{id}', { ...path(main), body: { tier: 'standard' } }))
    await untilDatabase(service, main.id, 'the tier is reached', ({ tier, generation, observedGeneration }) => tier === 'standard' && generation === observedGeneration)
    await Promise.all(clients.map((client) => client.stop()))
    t.diagnostic(`clients waited ${clients.map(({ longestGapMs }) => Math.round(longestGapMs)).join(', ')} ms`)
    assert.deepEqual(pooled.flatMap(({ errors }) => errors), [])
    // the session that is open on the server at that moment ends with it; nobody who comes meanwhile is turned away
    assert.ok(newcomer.errors.length <= 1, newcomer.errors.join('; '))
    const { id } = await containerOf(service, main.id, 'member')
    assert.notEqual(id, before.id)
    const { HostConfig } = await inspect(service, id)
    assert.equal(HostConfig.Memory, tiers.standard.memoryBytes)
    assert.equal(HostConfig.CpuQuota / HostConfig.CpuPeriod, tiers.standard.cpus)
    const { stdout } = await service.engine.exec(id, ['sh', '-c', 'df --output=size -B1 /data | tail -1'], {}, AbortSignal.timeout(20_000))
    assert.ok(Number(stdout) > tiers.standard.storageBytes * 0.95, `${stdout.trim()} bytes`)
    await withSession(service, main, async (it) => {
      assert.equal(await ask(it, 'show max_connections'), String(tiers.standard.maxConnections))
      assert.equal(await ask(it, 'select count(*) from moments'), String(2 + writer.answers))
    })
  })
})
