/** A bad request gets a clear error in the one shape, and changes nothing at all. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { z } from 'zod'
import { newDatabase, startService, stateOf, type Service } from './service.ts'

const problem = z.strictObject({
  error: z.strictObject({
    code: z.string().min(1), message: z.string().min(10), next: z.string().min(5), requestId: z.uuid(), facts: z.record(z.string(), z.unknown()).optional(),
  }),
})
const mistakes = z.array(z.object({ field: z.string(), message: z.string() }))

interface Bad {
  readonly what: string
  readonly send: (service: Service, databaseId: string) => ReturnType<Service['call']>
  readonly status: number
  readonly code: string
  /** Fields that the answer must name. */
  readonly fields?: readonly string[]
}

const injection = "x'); drop table teams; --"

const bad: readonly Bad[] = [
  {
    what: 'unknown fields, every one named', status: 400, code: 'InvalidRequest', fields: ['body.owner', 'body.superuser'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'orders', tier: 'starter', owner: 'me', superuser: true }),
  },
  {
    what: 'every wrong type at once', status: 400, code: 'InvalidRequest', fields: ['body.name', 'body.tier', 'body.storageBytes', 'body.allowList.0'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 7, tier: null, storageBytes: '5 GB', allowList: [true] }),
  },
  {
    what: 'a missing body, with each needed field named', status: 400, code: 'InvalidRequest', fields: ['body.name', 'body.tier'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`),
  },
  {
    what: 'SQL in the name of a database', status: 400, code: 'InvalidRequest', fields: ['body.name'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: injection, tier: 'starter' }),
  },
  {
    what: 'SQL in the name inside PostgreSQL', status: 400, code: 'InvalidRequest', fields: ['body.databaseName'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'orders', databaseName: injection, tier: 'starter' }),
  },
  {
    what: 'a name that PostgreSQL keeps for itself', status: 400, code: 'InvalidRequest', fields: ['body.name'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'pg-catalog', tier: 'starter' }),
  },
  {
    what: 'SQL in the name of a team', status: 400, code: 'InvalidRequest', fields: ['body.name'],
    send: (s) => s.call(s.tokens.platform, 'POST', '/v1/teams', { name: injection }),
  },
  {
    what: 'SQL in a query', status: 400, code: 'InvalidRequest', fields: ['querystring.databaseId'],
    send: (s) => s.call(s.tokens.red, 'GET', `/v1/events?databaseId=${encodeURIComponent(injection)}`),
  },
  {
    what: 'a cursor that nobody gave out', status: 400, code: 'InvalidRequest',
    send: (s) => s.call(s.tokens.red, 'GET', `/v1/projects/${s.projects.red}/databases?cursor=${encodeURIComponent(injection)}`),
  },
  {
    what: 'a topology that there is not', status: 400, code: 'InvalidRequest', fields: ['body.topology'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'orders', tier: 'pro', topology: 'cluster' }),
  },
  {
    what: 'a durability without anybody to wait for', status: 400, code: 'InvalidRequest', fields: ['body.durability'],
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'orders', tier: 'pro', durability: 'quorum' }),
  },
  {
    what: 'a cluster for a team that did not opt in', status: 422, code: 'HaNotEnabled',
    send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'orders', tier: 'pro', topology: 'ha' }),
  },
  { what: 'durability of one server', status: 422, code: 'NotHighlyAvailable', send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, { durability: 'strict' }) },
  { what: 'an operation that there is not', status: 400, code: 'InvalidRequest', fields: ['body.kind'], send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'changeTier', toTier: 'pro' }) },
  { what: 'a switchover of one server', status: 422, code: 'NotHighlyAvailable', send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'switchover' }) },
  { what: 'a switchover with a field of another operation', status: 400, code: 'InvalidRequest', fields: ['body.member'], send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'switchover', member: 'member-1' }) },
  { what: 'a new copy of nobody', status: 400, code: 'InvalidRequest', fields: ['body.member'], send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'reinitialise' }) },
  { what: 'a toggle that is neither on nor off', status: 400, code: 'InvalidRequest', fields: ['body.enabled'], send: (s) => s.call(s.tokens.red, 'PUT', `/v1/teams/${s.teams.red}/ha`, { enabled: 'on' }) },
  { what: 'an explanation of no event', status: 400, code: 'InvalidRequest', fields: ['params.seq'], send: (s) => s.call(s.tokens.red, 'GET', '/v1/events/latest/explanation') },
  { what: 'an explanation of an event that there is not', status: 404, code: 'NotFound', send: (s) => s.call(s.tokens.red, 'GET', '/v1/events/99999/explanation') },
  { what: 'a number that no event can have', status: 400, code: 'InvalidRequest', send: (s) => s.call(s.tokens.red, 'GET', '/v1/events/99999999999999999999999/explanation') },
  { what: 'an unknown field in a query', status: 400, code: 'InvalidRequest', fields: ['querystring.order'], send: (s) => s.call(s.tokens.red, 'GET', '/v1/events?order=desc') },
  { what: 'an id that is no UUID', status: 400, code: 'InvalidRequest', fields: ['params.id'], send: (s) => s.call(s.tokens.red, 'PATCH', '/v1/databases/1', { paused: true }) },
  { what: 'a change of nothing', status: 400, code: 'InvalidRequest', send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, {}) },
  { what: 'a change of what cannot be changed', status: 400, code: 'InvalidRequest', fields: ['body.generation'], send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, { generation: 9 }) },
  { what: 'less storage than it has', status: 422, code: 'StorageCannotShrink', send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, { storageBytes: 400 * 1024 * 1024 }) },
  { what: 'a range with host bits', status: 400, code: 'InvalidRequest', fields: ['body.allowList.0'], send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, { allowList: ['10.0.0.1/8'] }) },
  { what: 'more ranges than anyone needs', status: 400, code: 'InvalidRequest', fields: ['body.allowList'], send: (s, id) => s.call(s.tokens.red, 'PATCH', `/v1/databases/${id}`, { allowList: Array.from({ length: 201 }, () => '10.0.0.0/8') }) },
  { what: 'a deletion that is not confirmed', status: 400, code: 'InvalidRequest', fields: ['body.confirmName'], send: (s, id) => s.call(s.tokens.red, 'DELETE', `/v1/databases/${id}`) },
  { what: 'a deletion confirmed with another name', status: 409, code: 'ConfirmationRequired', send: (s, id) => s.call(s.tokens.red, 'DELETE', `/v1/databases/${id}`, { confirmName: 'other' }) },
  { what: 'a name that is taken', status: 409, code: 'NameTaken', send: (s) => s.call(s.tokens.red, 'POST', `/v1/projects/${s.projects.red}/databases`, { name: 'kept', tier: 'starter' }) },
  { what: 'a restore from two points at once', status: 400, code: 'InvalidRequest', send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/restore`, { name: 'copy', backupId: randomUUID(), at: '2030-01-01T00:00:00Z' }) },
  { what: 'a restore of a database without a backup', status: 422, code: 'BackupNotUsable', send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/restore`, { name: 'copy' }) },
  { what: "taking over one's own endpoint", status: 400, code: 'InvalidRequest', send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'takeOverEndpoint', fromDatabaseId: id }) },
  { what: 'a wait without an end', status: 400, code: 'InvalidRequest', fields: ['body.timeoutMs'], send: (s, id) => s.call(s.tokens.red, 'POST', `/v1/databases/${id}/reconcile`, { wait: true, timeoutMs: 3_600_000 }) },
  { what: 'a megabyte', status: 413, code: 'PayloadTooLarge', send: (s) => s.call(s.tokens.red, 'POST', `/v1/teams/${s.teams.red}/projects`, { name: 'a'.repeat(1_000_000) }) },
  { what: 'no such route', status: 404, code: 'NotFound', send: (s) => s.call(s.tokens.red, 'GET', '/v1/nothing') },
  { what: 'a path that is no URL', status: 400, code: 'InvalidRequest', send: (s) => s.call(s.tokens.red, 'GET', '/v1/teams/%zz') },
]

test('bad requests are refused in the one shape and change nothing', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'kept')
  const before = await stateOf(service.pool)
  for (const { what, send, status, code, fields = [] } of bad) {
    await t.test(what, async () => {
      const answer = await send(service, id)
      assert.equal(answer.status, status, answer.text)
      const { error } = problem.parse(answer.body)
      assert.equal(error.code, code)
      assert.equal(answer.headers['x-request-id'], error.requestId)
      const named = error.facts?.['mistakes'] === undefined ? [] : mistakes.parse(error.facts['mistakes']).map(({ field }) => field)
      assert.deepEqual(fields.filter((field) => !named.includes(field)), [], answer.text)
      assert.deepEqual(await stateOf(service.pool), before)
    })
  }
})

const unreadable: readonly { readonly what: string; readonly type: string; readonly payload: string; readonly status: number }[] = [
  { what: 'malformed JSON', type: 'application/json', payload: '{"name": "orders",', status: 400 },
  { what: 'JSON that is no object', type: 'application/json', payload: '"orders"', status: 400 },
  { what: 'an announced body that is empty', type: 'application/json', payload: '', status: 400 },
  { what: 'JSON that reaches for a prototype', type: 'application/json', payload: '{"name":"orders","tier":"starter","__proto__":{"role":"admin"}}', status: 400 },
  { what: 'a form', type: 'application/x-www-form-urlencoded', payload: 'name=orders&tier=starter', status: 400 },
  { what: 'plain text', type: 'text/plain', payload: '{"name":"orders","tier":"starter"}', status: 400 },
  { what: 'a name that ends in a line break', type: 'application/json', payload: '{"name":"orders\\n","tier":"starter"}', status: 400 },
  { what: 'a NUL', type: 'application/json', payload: '{"name":"orders\\u0000","tier":"starter"}', status: 400 },
]

test('bodies that cannot be read are refused and change nothing', async (t) => {
  const service = await startService(t)
  const before = await stateOf(service.pool)
  for (const { what, type, payload, status } of unreadable) {
    await t.test(what, async () => {
      const answer = await service.app.inject({
        method: 'POST', url: `/v1/projects/${service.projects.red}/databases`, payload,
        headers: { authorization: `Bearer ${service.tokens.red}`, 'content-type': type },
      })
      assert.equal(answer.statusCode, status, answer.body)
      assert.equal(problem.parse(answer.json()).error.code, 'InvalidRequest')
      assert.deepEqual(await stateOf(service.pool), before)
    })
  }
})
