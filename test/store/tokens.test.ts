import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import { actor, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { tokens, audit } = rig.store

test('a token opens what it was made for, and only its hash is kept', async () => {
  const { token, view } = await tokens.create({ teamId: rig.teamId, name: 'deploy', role: 'member' }, actor)
  assert.match(token.reveal(), /^hf_[A-Za-z0-9_-]{43}$/)
  assert.deepEqual(await tokens.verify(token), { tokenId: view.id, teamId: rig.teamId, name: 'deploy', role: 'member' })
  assert.equal(await tokens.verify(new Secret('hf_unknown')), null)
  assert.equal(await rig.count('api_tokens', `api_tokens::text like '%${token.reveal()}%'`), 0)
  assert.equal(await rig.count('audit_log', `audit_log::text like '%${token.reveal()}%'`), 0)
})

test('a token of the platform has no team', async () => {
  const { token } = await tokens.create({ teamId: null, name: 'operator', role: 'admin' }, actor)
  assert.equal((await tokens.verify(token))?.teamId, null)
  assert.deepEqual((await tokens.list(null)).map(({ name }) => name), ['operator'])
})

test('an expired or revoked token is unknown', async () => {
  const expired = await tokens.create({ teamId: rig.teamId, name: 'short', role: 'member', expiresAt: new Date(Date.now() - 1_000) }, actor)
  assert.equal(await tokens.verify(expired.token), null)
  const { token, view } = await tokens.create({ teamId: rig.teamId, name: 'lost', role: 'member' }, actor)
  const revoked = await tokens.revoke(view.id, actor)
  assert.deepEqual((await tokens.revoke(view.id, actor)).revokedAt, revoked.revokedAt)
  assert.equal(await tokens.verify(token), null)
  await assert.rejects(tokens.revoke(randomUUID(), actor), withCode('NotFound'))
})

test('the last use is written at most once a minute', async () => {
  const { token, view } = await tokens.create({ teamId: rig.teamId, name: 'busy', role: 'member' }, actor)
  const lastUse = async (): Promise<Date | null | undefined> => (await tokens.list(rig.teamId)).find(({ id }) => id === view.id)?.lastUsedAt
  await tokens.verify(token)
  const first = await lastUse()
  assert.ok(first instanceof Date)
  await tokens.verify(token)
  assert.deepEqual(await lastUse(), first)
  await rig.pool.query(`update api_tokens set last_used_at = now() - interval '61 seconds' where id = $1`, [view.id])
  await tokens.verify(token)
  assert.ok(((await lastUse()) ?? first) >= first)
})

test('a known token is brought into a new control database', async () => {
  const known = new Secret('hf_known')
  await tokens.create({ teamId: null, name: 'first', role: 'admin', token: known }, actor)
  assert.equal((await tokens.verify(known))?.name, 'first')
})

test('a token needs a team that is there', async () => {
  await assert.rejects(tokens.create({ teamId: randomUUID(), name: 'x', role: 'member' }, actor), withCode('NotFound'))
})

test('what was done is in the audit log, by whom and in which request', async () => {
  const { view } = await tokens.create({ teamId: rig.teamId, name: 'auditor', role: 'member' }, actor)
  const by = { tokenId: view.id, name: 'auditor', requestId: 'request-9' }
  await audit.append({ actor: by, teamId: rig.teamId, action: 'test.look', target: null, facts: { where: 'here' } })
  const [entry, before] = await audit.list({ teamId: rig.teamId })
  assert.deepEqual(
    [entry?.tokenId, entry?.action, entry?.requestId, entry?.facts],
    [view.id, 'test.look', 'request-9', { actor: 'auditor', where: 'here' }],
  )
  assert.deepEqual((await audit.list({ teamId: rig.teamId, beforeId: entry?.id ?? 0, limit: 1 })).map(({ id }) => id), [before?.id])
})
