/** What is asked for is written down, shown in the promised shape, and audited. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { shownCredential } from '../../src/api/schemas/databases.ts'
import { newDatabase, settings, startService, type Service, verifiedBackup } from './service.ts'

/** The schemas of answers hold dates before they are written; on the wire they are text. */
const wireDatabase = z.looseObject({
  id: z.uuid(), name: z.string(), paused: z.boolean(), generation: z.number(), observedGeneration: z.number(), tier: z.string(), storageBytes: z.number(), allowList: z.array(z.string()),
  deletion: z.object({ finalBackup: z.boolean(), backupsKeptUntil: z.iso.datetime(), remaining: z.array(z.string()), removedAt: z.null() }).nullable(),
  status: z.object({ conditions: z.array(z.unknown()), operation: z.looseObject({ kind: z.string(), phase: z.string(), waitingFor: z.string().nullable() }).nullable() }),
  instances: z.array(z.looseObject({ role: z.string(), members: z.array(z.looseObject({ id: z.uuid(), name: z.string(), role: z.string().nullable(), containerId: z.string().nullable(), host: z.string(), timeline: z.number().nullable(), lagBytes: z.number().nullable(), syncState: z.string().nullable() })) })),
  endpoint: z.strictObject({ host: z.string(), ports: z.strictObject({ rw: z.number(), ro: z.number(), pooled: z.number() }) }),
  urls: z.strictObject({ rw: z.string(), ro: z.string(), pooled: z.string() }),
})

async function show(service: Service, id: string) {
  return wireDatabase.parse((await service.call(service.tokens.red, 'GET', `/v1/databases/${id}`)).body)
}

test('a new database is written down whole, and its password is in the answer that made it and nowhere else', async (t) => {
  const service = await startService(t)
  const made = await newDatabase(service, 'red', 'orders')
  assert.deepEqual([made.credentials.user, made.credentials.database], ['orders_1', 'orders'])
  const shown = await show(service, made.id)
  assert.deepEqual([shown.instances.length, shown.instances[0]?.role, shown.instances[0]?.members.length], [1, 'serving', 1])
  assert.equal(shown.instances[0]?.members[0]?.host, 'alpha')
  assert.deepEqual([shown.generation, shown.observedGeneration, shown.deletion, shown.status.operation], [1, 0, null, null])
  const rw = new URL(shown.urls.rw)
  assert.deepEqual([rw.username, rw.password, rw.hostname, Number(rw.port), rw.pathname, rw.searchParams.get('sslmode')], ['orders_1', '', shown.endpoint.host, shown.endpoint.ports.rw, '/orders', 'verify-full'])
  const { red } = service.tokens
  const everything = await Promise.all([`/v1/databases/${made.id}`, `/v1/databases/${made.id}/credentials`, `/v1/projects/${service.projects.red}/databases`, '/v1/events', '/v1/audit'].map((url) => service.call(red, 'GET', url)))
  for (const answer of everything) {
    assert.equal(answer.status, 200, answer.text)
    assert.ok(!answer.text.includes(made.credentials.password))
  }
})

test('live facts of members are shown where somebody looked, and null where nobody did', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'orders')
  const member = async () => (await show(service, id)).instances[0]?.members[0]
  const before = await member()
  assert.deepEqual([before?.role, before?.containerId, before?.timeline, before?.lagBytes, before?.syncState], [null, null, null, null, null])
  service.live.set(id, [{ memberId: before?.id ?? '', containerId: 'c0ffee', role: 'primary', timeline: 3, lagBytes: 0, syncState: null, patroniState: null }])
  const after = await member()
  assert.deepEqual([after?.name, after?.role, after?.containerId, after?.timeline, after?.lagBytes], [before?.name, 'primary', 'c0ffee', 3, 0])
})

test('a change raises the generation, and asking for what is already so does not', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'orders')
  const patch = (body: object) => service.call(service.tokens.red, 'PATCH', `/v1/databases/${id}`, body)
  const changed = wireDatabase.parse((await patch({ tier: 'standard', allowList: ['203.0.113.0/24'], storageBytes: 50 * 1024 ** 3, paused: true, name: 'sales' })).body)
  assert.deepEqual([changed.name, changed.tier, changed.allowList, changed.storageBytes, changed.paused], ['sales', 'standard', ['203.0.113.0/24'], 50 * 1024 ** 3, true])
  assert.equal(changed.generation, 2)
  assert.equal(wireDatabase.parse((await patch({ paused: true, tier: 'standard' })).body).generation, 2)
  assert.equal(wireDatabase.parse((await patch({ paused: false })).body).paused, false)
})

test('a deletion is confirmed by name, keeps backups as long as the installation says, and may be asked for again', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'orders')
  const remove = () => service.call(service.tokens.red, 'DELETE', `/v1/databases/${id}`, { confirmName: 'orders' })
  const [first, second] = [await remove(), await remove()]
  assert.deepEqual([first.status, second.status], [202, 202])
  const { deletion } = wireDatabase.parse(second.body)
  assert.deepEqual([deletion?.finalBackup, deletion?.remaining], [true, ['finalBackup', 'containers', 'volumes', 'backups']])
  const days = (Date.parse(deletion?.backupsKeptUntil ?? '') - Date.now()) / 86_400_000
  assert.ok(Math.abs(days - settings.deletedBackupsKeptDays) < 0.1, `${days} days`)
  const changed = await service.call(service.tokens.red, 'PATCH', `/v1/databases/${id}`, { tier: 'pro' })
  assert.equal(changed.status, 409)
})

test('a rotation shows the new password once and both roles by name', async (t) => {
  const service = await startService(t)
  const { id, credentials } = await newDatabase(service, 'red', 'orders')
  const answer = await service.call(service.tokens.red, 'POST', `/v1/databases/${id}/credentials/rotate`, { overlapSeconds: 3600 })
  assert.equal(answer.status, 201, answer.text)
  const shown = z.object({ credentials: shownCredential, roles: z.array(z.object({ roleName: z.string(), state: z.string() })) }).parse(answer.body)
  assert.equal(shown.credentials.user, 'orders_2')
  assert.notEqual(shown.credentials.password, credentials.password)
  assert.deepEqual(shown.roles.map(({ roleName, state }) => [roleName, state]).toSorted(), [['orders_1', 'ending'], ['orders_2', 'current']])
  const listed = await service.call(service.tokens.red, 'GET', `/v1/databases/${id}/credentials`)
  for (const password of [credentials.password, shown.credentials.password]) assert.ok(!listed.text.includes(password))
  assert.match((await show(service, id)).urls.rw, /orders_2@/)
})

test('a backup that is under way is given back instead of a second one', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'orders')
  await initialise(service, id)
  const take = () => service.call(service.tokens.red, 'POST', `/v1/databases/${id}/backups`, { kind: 'incremental' })
  const [first, second] = [await take(), await take()]
  const idOf = (body: unknown): string => z.object({ id: z.uuid() }).parse(body).id
  assert.deepEqual([first.status, second.status, idOf(second.body)], [202, 200, idOf(first.body)])
  assert.equal((await service.call(service.tokens.red, 'GET', `/v1/backups/${idOf(first.body)}`)).status, 200)
})

test('a restore makes a new database with an operation, and leaves the source as it is', async (t) => {
  const service = await startService(t)
  const source = await newDatabase(service, 'red', 'orders')
  await initialise(service, source.id)
  const backupId = await verifiedBackup(service, source.id)
  const before = await show(service, source.id)
  const answer = await service.call(service.tokens.red, 'POST', `/v1/databases/${source.id}/restore`, { name: 'orders-copy', backupId })
  assert.equal(answer.status, 202, answer.text)
  const restored = wireDatabase.parse(answer.body)
  assert.notEqual(restored.id, source.id)
  assert.deepEqual([restored.instances[0]?.role, restored.status.operation?.kind], ['restoring', 'restore'])
  assert.deepEqual(await show(service, source.id), before)
  const tooEarly = await service.call(service.tokens.red, 'POST', `/v1/databases/${source.id}/restore`, { name: 'older', at: '2001-01-01T00:00:00Z' })
  assert.equal(tooEarly.status, 422, tooEarly.text)
  const operations = z.object({ items: z.array(z.looseObject({ id: z.uuid(), kind: z.string() })) }).parse((await service.call(service.tokens.red, 'GET', `/v1/databases/${restored.id}/operations`)).body).items
  assert.deepEqual(operations.map(({ kind }) => kind), ['restore'])
  assert.equal((await service.call(service.tokens.red, 'GET', `/v1/operations/${operations[0]?.id ?? ''}`)).status, 200)
})

test('one operation at a time', async (t) => {
  const service = await startService(t)
  const [taker, giver] = [await newDatabase(service, 'red', 'taker'), await newDatabase(service, 'red', 'giver')]
  const take = () => service.call(service.tokens.red, 'POST', `/v1/databases/${taker.id}/operations`, { kind: 'takeOverEndpoint', fromDatabaseId: giver.id })
  const [first, second] = [await take(), await take()]
  assert.deepEqual([first.status, second.status], [202, 409], second.text)
  assert.deepEqual((await show(service, taker.id)).status.operation?.kind, 'takeOverEndpoint')
})

test('reconcile wakes, and with wait answers when a pass has settled or the time is up', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'orders')
  const reconcile = (body: object) => service.call(service.tokens.red, 'POST', `/v1/databases/${id}/reconcile`, body)
  const outcome = (body: unknown) => z.object({ settled: z.boolean(), waitedMs: z.number(), database: wireDatabase }).parse(body)
  const seq = async () => (await service.store.queue.settledState(id)).wakeSeq
  const before = await seq()
  assert.equal(outcome((await reconcile({})).body).settled, false)
  assert.ok((await seq()) > before)
  const timedOut = outcome((await reconcile({ wait: true, timeoutMs: 300 })).body)
  assert.equal(timedOut.settled, false)
  assert.ok(timedOut.waitedMs <= 400)
  const awake = await seq()
  const waiting = reconcile({ wait: true, timeoutMs: 10_000 })
  await settleAfter(service, id, awake)
  const settled = outcome((await waiting).body)
  assert.deepEqual([settled.settled, settled.database.observedGeneration], [true, settled.database.generation])
})

test('every change is in the audit log, with who and under which request', async (t) => {
  const service = await startService(t)
  const { red } = service.tokens
  const { id } = await newDatabase(service, 'red', 'orders')
  const requests = [
    await service.call(red, 'PATCH', `/v1/databases/${id}`, { paused: true }),
    await service.call(red, 'PATCH', `/v1/databases/${id}`, { paused: false }),
    await service.call(red, 'POST', `/v1/databases/${id}/credentials/rotate`, {}),
    await service.call(red, 'POST', `/v1/teams/${service.teams.red}/projects`, { name: 'second' }),
    await service.call(red, 'POST', '/v1/tokens', { name: 'ci' }),
    await service.call(red, 'DELETE', `/v1/databases/${id}`, { confirmName: 'orders' }),
  ]
  const audit = z.object({ items: z.array(z.object({ requestId: z.string(), tokenId: z.string().nullable(), action: z.string() })) }).parse((await service.call(red, 'GET', '/v1/audit')).body)
  for (const { headers, status, text } of requests) {
    assert.ok(status < 300, text)
    const entry = audit.items.find(({ requestId }) => requestId === headers['x-request-id'])
    assert.notEqual(entry?.tokenId ?? null, null, `no entry for ${text}`)
  }
})

test('events come in order without gaps, and can be followed', async (t) => {
  const service = await startService(t)
  await newDatabase(service, 'red', 'one')
  const { id } = await newDatabase(service, 'red', 'two')
  const events = async (query: string) => z.object({ items: z.array(z.object({ seq: z.number(), databaseId: z.string().nullable() })) }).parse((await service.call(service.tokens.red, 'GET', `/v1/events?${query}`)).body).items
  const all = await events('')
  assert.deepEqual(all.map(({ seq }) => seq), all.map((_, index) => index + 1))
  assert.deepEqual(await events('after=1'), all.slice(1))
  assert.ok((await events(`databaseId=${id}`)).every(({ databaseId }) => databaseId === id))
  assert.equal((await events('limit=1')).length, 1)
})

test('a project shows the name of its network on each host', async (t) => {
  const service = await startService(t)
  await newDatabase(service, 'red', 'orders')
  const project = z.object({ networks: z.array(z.object({ host: z.string(), network: z.string(), subnet: z.string() })) })
  const { networks } = project.parse((await service.call(service.tokens.red, 'GET', `/v1/projects/${service.projects.red}`)).body)
  assert.deepEqual(networks.map(({ host, network }) => [host, network.startsWith('hfapi-net-')]), [['alpha', true]])
})

test('a list is handed out page by page', async (t) => {
  const service = await startService(t)
  for (const name of ['one', 'two', 'three']) await newDatabase(service, 'red', name)
  const pageSchema = z.object({ items: z.array(z.object({ name: z.string() })), nextCursor: z.string().nullable() })
  const page = async (query: string) => pageSchema.parse((await service.call(service.tokens.red, 'GET', `/v1/projects/${service.projects.red}/databases?${query}`)).body)
  const first = await page('limit=2')
  const second = await page(`limit=2&cursor=${encodeURIComponent(first.nextCursor ?? '')}`)
  assert.deepEqual([first, second].map(({ items }) => items.map(({ name }) => name)), [['three', 'two'], ['one']])
  assert.equal(second.nextCursor, null)
})

async function initialise(service: Service, databaseId: string): Promise<void> {
  await service.pool.query(`update instances set initialised_at = now(), system_identifier = '7000000000000000001' where database_id = $1`, [databaseId])
}

const settleWithinMs = 5_000

/** A pass that begins after the wake with this number, as the loop ends it. */
async function settleAfter({ store }: Service, databaseId: string, wakeSeq: number): Promise<void> {
  const deadline = Date.now() + settleWithinMs
  while (Date.now() < deadline) {
    const { wakeSeq: newest, generation } = await store.queue.settledState(databaseId)
    const lease = newest > wakeSeq ? await store.queue.claimOne(databaseId, { holder: 'test', leaseSeconds: 30 }) : null
    if (lease !== null) return store.queue.release(lease, { dueInMs: 60_000, settledGeneration: generation })
  }
  throw new Error(`database ${databaseId} was not woken within ${settleWithinMs} ms`)
}
