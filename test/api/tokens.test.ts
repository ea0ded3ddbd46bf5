/** Tokens are shown once, work until they are revoked, and never reach beyond who made them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { startService } from './service.ts'

const created = z.object({ id: z.uuid(), token: z.string(), teamId: z.uuid().nullable(), role: z.string() })

test('a token is shown once, works, and is worth nothing after it was revoked', async (t) => {
  const service = await startService(t)
  const { red } = service.tokens
  const made = created.parse((await service.call(red, 'POST', '/v1/tokens', { name: 'ci', role: 'member' })).body)
  assert.equal(made.teamId, service.teams.red)
  assert.equal((await service.call(made.token, 'GET', `/v1/teams/${service.teams.red}/projects`)).status, 200)
  const listed = await service.call(red, 'GET', '/v1/tokens')
  assert.ok(listed.text.includes(made.id) && !listed.text.includes(made.token))
  const { rows } = await service.pool.query(`select count(*)::int as count from api_tokens t where t::text like '%' || $1 || '%'`, [made.token])
  assert.deepEqual(rows, [{ count: 0 }])
  assert.equal((await service.call(red, 'DELETE', `/v1/tokens/${made.id}`)).status, 200)
  assert.equal((await service.call(made.token, 'GET', '/v1/teams')).status, 401)
})

test("a team's admin makes tokens for the team, and the platform's for any team or the platform", async (t) => {
  const service = await startService(t)
  const make = async (token: string, body: object) => created.parse((await service.call(token, 'POST', '/v1/tokens', { name: 'new', ...body })).body).teamId
  assert.equal(await make(service.tokens.red, { teamId: null }), service.teams.red)
  assert.equal(await make(service.tokens.platform, { teamId: service.teams.blue }), service.teams.blue)
  assert.equal(await make(service.tokens.platform, {}), null)
})

test('a token that ends in the past was never valid', async (t) => {
  const service = await startService(t)
  const made = created.parse((await service.call(service.tokens.red, 'POST', '/v1/tokens', { name: 'old', expiresAt: '2001-01-01T00:00:00+01:00' })).body)
  assert.equal((await service.call(made.token, 'GET', '/v1/teams')).status, 401)
})
