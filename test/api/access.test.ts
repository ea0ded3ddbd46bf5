/** Who may do what: tokens, teams, roles. Whatever is refused changes nothing. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { z } from 'zod'
import { newDatabase, newToken, settings, startService, stateOf, type Service } from './service.ts'

const refusal = z.object({ error: z.object({ code: z.string(), message: z.string(), next: z.string() }) })
const code = (body: unknown): string => refusal.parse(body).error.code

/** Every route that a team's token may use, by what its path or body names. */
function asks(service: Service, token: string, ids: { readonly team: string; readonly project: string; readonly database: string; readonly backup: string; readonly operation: string; readonly token: string }) {
  const call: Service['call'] = (...request) => service.call(...request)
  const { team, project, database } = ids
  return [
    call(token, 'GET', `/v1/teams/${team}`),
    call(token, 'PUT', `/v1/teams/${team}/ha`, { enabled: true }),
    call(token, 'POST', `/v1/teams/${team}/projects`, { name: 'stolen' }),
    call(token, 'GET', `/v1/teams/${team}/projects`),
    call(token, 'GET', `/v1/projects/${project}`),
    call(token, 'POST', `/v1/projects/${project}/databases`, { name: 'stolen', tier: 'starter' }),
    call(token, 'GET', `/v1/projects/${project}/databases`),
    call(token, 'GET', `/v1/databases/${database}`),
    call(token, 'PATCH', `/v1/databases/${database}`, { paused: true }),
    call(token, 'DELETE', `/v1/databases/${database}`, { confirmName: 'theirs' }),
    call(token, 'GET', `/v1/databases/${database}/backups`),
    call(token, 'POST', `/v1/databases/${database}/backups`, { kind: 'full' }),
    call(token, 'GET', `/v1/backups/${ids.backup}`),
    call(token, 'POST', `/v1/databases/${database}/restore`, { name: 'stolen' }),
    call(token, 'POST', `/v1/databases/${database}/operations`, { kind: 'takeOverEndpoint', fromDatabaseId: database }),
    call(token, 'POST', `/v1/databases/${database}/operations`, { kind: 'switchover', candidate: 'member-2' }),
    call(token, 'POST', `/v1/databases/${database}/operations`, { kind: 'restart' }),
    call(token, 'POST', `/v1/databases/${database}/operations`, { kind: 'reinitialise', member: 'member-2' }),
    call(token, 'GET', `/v1/databases/${database}/failovers`),
    call(token, 'GET', `/v1/databases/${database}/operations`),
    call(token, 'GET', `/v1/operations/${ids.operation}`),
    call(token, 'GET', `/v1/databases/${database}/credentials`),
    call(token, 'POST', `/v1/databases/${database}/credentials/rotate`, { overlapSeconds: 0 }),
    call(token, 'POST', `/v1/databases/${database}/reconcile`, { wait: false }),
    call(token, 'GET', `/v1/events?teamId=${team}`),
    call(token, 'GET', `/v1/events/1/explanation?teamId=${team}`),
    call(token, 'GET', `/v1/audit?teamId=${team}`),
    call(token, 'GET', `/v1/tokens?teamId=${team}`),
    call(token, 'POST', '/v1/tokens', { name: 'stolen', teamId: team }),
    call(token, 'DELETE', `/v1/tokens/${ids.token}`),
  ]
}

test("another team's things answer exactly like what does not exist", async (t) => {
  const service = await startService(t)
  const { id: database } = await newDatabase(service, 'blue', 'theirs')
  const [tokenOfBlue] = await service.store.tokens.list(service.teams.blue)
  const { operationId, backupId } = await operationAndBackup(service, database)
  const theirs = { team: service.teams.blue, project: service.projects.blue, database, backup: backupId, operation: operationId, token: tokenOfBlue?.id ?? '' }
  const missing = { team: randomUUID(), project: randomUUID(), database: randomUUID(), backup: randomUUID(), operation: randomUUID(), token: randomUUID() }
  const before = await stateOf(service.pool)
  const [onTheirs, onMissing] = [await Promise.all(asks(service, service.tokens.red, theirs)), await Promise.all(asks(service, service.tokens.red, missing))]
  assert.deepEqual(onTheirs.map(({ status }) => status), onTheirs.map(() => 404))
  assert.deepEqual(onTheirs.map((answer) => shape(answer.text, theirs)), onMissing.map((answer) => shape(answer.text, missing)))
  assert.deepEqual(await stateOf(service.pool), before)
})

test("a restore or takeover cannot reach into another team through the request's body", async (t) => {
  const service = await startService(t)
  const [own, theirs] = [await newDatabase(service, 'red', 'own'), await newDatabase(service, 'blue', 'theirs')]
  const before = await stateOf(service.pool)
  const restore = await service.call(service.tokens.red, 'POST', `/v1/databases/${own.id}/restore`, { name: 'copy', projectId: service.projects.blue })
  const takeover = await service.call(service.tokens.red, 'POST', `/v1/databases/${own.id}/operations`, { kind: 'takeOverEndpoint', fromDatabaseId: theirs.id })
  assert.deepEqual([restore.status, takeover.status], [404, 404])
  const byPlatform = await service.call(service.tokens.platform, 'POST', `/v1/databases/${own.id}/restore`, { name: 'copy', projectId: service.projects.blue })
  assert.deepEqual([byPlatform.status, code(byPlatform.body)], [400, 'InvalidRequest'])
  assert.deepEqual(await stateOf(service.pool), before)
})

test('lists hold what the token reaches and nothing else', async (t) => {
  const service = await startService(t)
  const names = async (token: string) => z.object({ items: z.array(z.object({ name: z.string() })) }).parse((await service.call(token, 'GET', '/v1/teams')).body).items.map(({ name }) => name)
  assert.deepEqual(await names(service.tokens.red), ['red'])
  assert.deepEqual((await names(service.tokens.platform)).toSorted(), ['blue', 'red'])
})

test('without a valid token there is no answer but that, whatever is asked', async (t) => {
  const service = await startService(t, { settings: { ...settings, failedAuthenticationsPerMinute: 1000 } })
  const expired = await newToken(service.store, service.teams.red, 'admin', new Date(Date.now() - 1000))
  const revoked = await newToken(service.store, service.teams.red, 'admin')
  const id = (await service.store.tokens.list(service.teams.red)).find(({ expiresAt, role, revokedAt }) => expiresAt === null && role === 'admin' && revokedAt === null)?.id
  assert.equal((await service.call(revoked, 'GET', '/v1/teams')).status, 200)
  await service.pool.query(`update api_tokens set revoked_at = now() where hash = sha256($1::text::bytea)`, [revoked])
  assert.notEqual(id, undefined)
  const before = await stateOf(service.pool)
  for (const token of [null, '', 'hf_unknown', 'Ünknown', 'x'.repeat(100_000), expired, revoked]) {
    const url = `/v1/projects/${service.projects.red}/databases`
    for (const answer of [await service.call(token, 'POST', url, { name: 'orders', tier: 'starter' }), await service.call(token, 'GET', '/v1/teams'), await service.call(token, 'GET', '/metrics')]) {
      assert.deepEqual([answer.status, code(answer.body)], [401, 'Unauthenticated'])
    }
  }
  const basic = await service.app.inject({ url: '/v1/teams', headers: { authorization: `Basic ${service.tokens.red}` } })
  assert.equal(basic.statusCode, 401)
  assert.deepEqual(await stateOf(service.pool), before)
})

test('health, certificates and the document need no token', async (t) => {
  const service = await startService(t)
  const statuses = await Promise.all(['/healthz', '/readyz', '/v1/ca.pem', '/v1/openapi.json'].map(async (url) => (await service.call(null, 'GET', url)).status))
  assert.deepEqual(statuses, [200, 200, 200, 200])
})

test("what is the platform's is refused to a team's token", async (t) => {
  const service = await startService(t)
  const before = await stateOf(service.pool)
  const { red } = service.tokens
  for (const answer of [await service.call(red, 'POST', '/v1/teams', { name: 'mine' }), await service.call(red, 'GET', '/v1/hosts'), await service.call(red, 'GET', '/metrics')]) {
    assert.deepEqual([answer.status, code(answer.body)], [403, 'Forbidden'])
  }
  assert.deepEqual(await stateOf(service.pool), before)
})

test('tokens and the audit log are for admins', async (t) => {
  const service = await startService(t)
  const before = await stateOf(service.pool)
  const { redMember } = service.tokens
  for (const answer of [await service.call(redMember, 'POST', '/v1/tokens', { name: 'more', role: 'admin' }), await service.call(redMember, 'GET', '/v1/tokens'), await service.call(redMember, 'GET', '/v1/audit')]) {
    assert.deepEqual([answer.status, code(answer.body)], [403, 'Forbidden'])
  }
  assert.deepEqual(await stateOf(service.pool), before)
})

test('wrong tokens from one address are soon refused unseen, and right ones go on working from there', async (t) => {
  const service = await startService(t, { settings: { ...settings, failedAuthenticationsPerMinute: 5 } })
  assert.equal((await service.call(service.tokens.red, 'GET', '/v1/teams')).status, 200)
  const statuses: number[] = []
  for (let attempt = 0; attempt < 8; attempt += 1) statuses.push((await service.call(`hf_${attempt}`, 'GET', '/v1/teams')).status)
  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429, 429])
  assert.equal((await service.call(service.tokens.red, 'GET', '/v1/teams')).status, 200)
})

test("one token's flood does not use up another's share", async (t) => {
  const service = await startService(t, { settings: { ...settings, requestsPerMinute: 3 } })
  const statuses: number[] = []
  for (let request = 0; request < 4; request += 1) statuses.push((await service.call(service.tokens.red, 'GET', '/v1/tiers')).status)
  assert.deepEqual(statuses, [200, 200, 200, 429])
  assert.equal((await service.call(service.tokens.blue, 'GET', '/v1/tiers')).status, 200)
})

/** Ids and request ids differ by nature; nothing else may. */
function shape(text: string, ids: Readonly<Record<string, string>>): string {
  return Object.values(ids).reduce((rest, id) => rest.replaceAll(id, 'ID'), text).replace(/"requestId":"[^"]+"/, '')
}

async function operationAndBackup(service: Service, databaseId: string): Promise<{ readonly operationId: string; readonly backupId: string }> {
  const [operationId, backupId] = [randomUUID(), randomUUID()]
  await service.pool.query(`insert into operations (id, database_id, kind, phase, requested_by, finished_at, outcome) values ($1, $2, 'takeOverEndpoint', 'done', 'test', now(), 'succeeded')`, [operationId, databaseId])
  await service.pool.query(`insert into backups (id, database_id, instance_id, kind, trigger, state) select $1, $2, id, 'full', 'manual', 'failed' from instances where database_id = $2`, [backupId, databaseId])
  return { operationId, backupId }
}
