/** High availability over the API: the toggle, what needs it, what can be asked of a cluster, and how an incident is told. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { z } from 'zod'
import type { FailoverRecord } from '../../src/domain/failover.ts'
import { newToken, newDatabase, operator, startService, stateOf, verifiedBackup, type Service } from './service.ts'

const refusal = z.object({ error: z.object({ code: z.string(), message: z.string(), next: z.string(), facts: z.record(z.string(), z.unknown()).optional() }) })
const member = z.looseObject({ id: z.uuid(), name: z.string(), role: z.string().nullable(), syncState: z.string().nullable(), patroniState: z.string().nullable() })
const cluster = z.looseObject({
  id: z.uuid(), tier: z.string(), topology: z.string(), durability: z.string(), generation: z.number(),
  status: z.looseObject({
    operation: z.looseObject({ id: z.uuid(), kind: z.string(), phase: z.string(), waitingFor: z.string().nullable() }).nullable(),
    lastFailover: z.strictObject({ at: z.iso.datetime(), writeGapMs: z.number().nullable(), reason: z.string(), eventSeq: z.number().nullable() }).nullable(),
  }),
  instances: z.array(z.looseObject({ id: z.uuid(), kind: z.string(), members: z.array(member) })),
  proxies: z.array(z.strictObject({ host: z.string(), ports: z.looseObject({ rw: z.number() }) })),
  libpqUrls: z.looseObject({ rw: z.string() }).nullable(),
})

const toggle = (service: Service, token: string, team: string, enabled: unknown) => service.call(token, 'PUT', `/v1/teams/${team}/ha`, { enabled })

async function newCluster(service: Service, changed: object = {}) {
  await service.store.teams.setHa(service.teams.red, true, operator)
  const body = { name: 'orders', tier: 'standard', topology: 'ha', ...changed }
  const answer = await service.call(service.tokens.red, 'POST', `/v1/projects/${service.projects.red}/databases`, body)
  assert.equal(answer.status, 201, answer.text)
  const made = cluster.parse(answer.body)
  await service.pool.query(`update instances set initialised_at = now(), system_identifier = '7000000000000000001' where database_id = $1`, [made.id])
  return made
}

async function show(service: Service, id: string) {
  return cluster.parse((await service.call(service.tokens.red, 'GET', `/v1/databases/${id}`)).body)
}

test('the toggle is for admins of the team and of the platform, and everybody else changes nothing', async (t) => {
  const service = await startService(t)
  const { red } = service.teams
  const before = await stateOf(service.pool)
  const platformMember = await newToken(service.store, null, 'member')
  const withToken = await stateOf(service.pool)
  for (const [token, status] of [[service.tokens.redMember, 403], [platformMember, 403], [service.tokens.blue, 404], ['hf_nobody', 401]] as const) {
    assert.equal((await toggle(service, token, red, true)).status, status)
  }
  for (const wrong of ['yes', 1, null, undefined]) assert.equal((await toggle(service, service.tokens.red, red, wrong)).status, 400)
  assert.deepEqual(await stateOf(service.pool), withToken)
  assert.equal(before['teams'], withToken['teams'])
  for (const [token, enabled] of [[service.tokens.red, true], [service.tokens.platform, false]] as const) {
    const answer = await toggle(service, token, red, enabled)
    assert.deepEqual([answer.status, z.looseObject({ haEnabled: z.boolean() }).parse(answer.body).haEnabled], [200, enabled])
    const team = await service.call(service.tokens.redMember, 'GET', `/v1/teams/${red}`)
    assert.equal(z.looseObject({ haEnabled: z.boolean() }).parse(team.body).haEnabled, enabled)
    const audit = z.object({ items: z.array(z.looseObject({ action: z.string(), requestId: z.string() })) }).parse((await service.call(service.tokens.red, 'GET', '/v1/audit')).body)
    assert.deepEqual([audit.items[0]?.action, audit.items[0]?.requestId], [enabled ? 'ha.on' : 'ha.off', answer.headers['x-request-id']])
  }
})

test('without the opt-in or on the wrong tier the answer names what is needed, and nothing is created', async (t) => {
  const service = await startService(t)
  const ask = async (tier: string) => service.call(service.tokens.red, 'POST', `/v1/projects/${service.projects.red}/databases`, { name: 'orders', tier, topology: 'ha' })
  const before = await stateOf(service.pool)
  const notEnabled = await ask('pro')
  const notEnabledError = refusal.parse(notEnabled.body).error
  assert.deepEqual([notEnabled.status, notEnabledError.code], [422, 'HaNotEnabled'])
  assert.match(notEnabledError.next, new RegExp(`PUT /v1/teams/${service.teams.red}/ha`))
  assert.deepEqual(await stateOf(service.pool), before)
  await toggle(service, service.tokens.red, service.teams.red, true)
  const enabled = await stateOf(service.pool)
  const wrongTier = await ask('starter')
  const wrongTierError = refusal.parse(wrongTier.body).error
  assert.deepEqual([wrongTier.status, wrongTierError.code, wrongTierError.facts?.['tiersWithHa']], [422, 'TierNotHa', ['standard', 'pro']])
  assert.deepEqual(await stateOf(service.pool), enabled)
})

test('a highly available database is shown with its members, both proxies, and a URL that names them both', async (t) => {
  const service = await startService(t)
  const made = await newCluster(service, { durability: 'quorum' })
  assert.deepEqual([made.topology, made.durability, made.instances[0]?.kind], ['ha', 'quorum', 'cluster'])
  assert.deepEqual(made.instances[0]?.members.map(({ name }) => name), ['member-1', 'member-2', 'member-3'])
  assert.equal(made.status.lastFailover, null)
  const [first, second] = made.proxies
  assert.ok(first !== undefined && second !== undefined && first.ports.rw !== second.ports.rw)
  assert.match(made.libpqUrls?.rw ?? '', new RegExp(`@db.example.test:${first.ports.rw},db.example.test:${second.ports.rw}/orders\\?`))
  const live = made.instances[0]?.members.map(({ id }, index) => ({
    memberId: id, containerId: `c${index}`, role: index === 1 ? 'leader' as const : 'replica' as const, timeline: 2, lagBytes: 0,
    syncState: index === 1 ? null : 'sync' as const, patroniState: 'running',
  }))
  service.live.set(made.id, live ?? [])
  const members = (await show(service, made.id)).instances[0]?.members
  assert.deepEqual(members?.map(({ role, syncState, patroniState }) => [role, syncState, patroniState]), [['replica', 'sync', 'running'], ['leader', null, 'running'], ['replica', 'sync', 'running']])
})

test('a standalone has one proxy, no such URL, and no operation of clusters', async (t) => {
  const service = await startService(t)
  const { id } = await newDatabase(service, 'red', 'alone')
  const shown = await show(service, id)
  assert.deepEqual([shown.topology, shown.proxies.length, shown.libpqUrls], ['standalone', 1, null])
  const before = await stateOf(service.pool)
  for (const body of [{ kind: 'switchover' }, { kind: 'restart' }, { kind: 'reinitialise', member: 'member-1' }]) {
    const answer = await service.call(service.tokens.red, 'POST', `/v1/databases/${id}/operations`, body)
    assert.deepEqual([answer.status, refusal.parse(answer.body).error.code], [422, 'NotHighlyAvailable'])
  }
  assert.deepEqual(await stateOf(service.pool), before)
})

test('operations of a cluster begin, and show their phase and what they wait for', async (t) => {
  const service = await startService(t)
  const { id } = await newCluster(service)
  const answer = await service.call(service.tokens.redMember, 'POST', `/v1/databases/${id}/operations`, { kind: 'switchover', candidate: 'member-3' })
  assert.equal(answer.status, 202, answer.text)
  const operation = z.looseObject({ id: z.uuid(), kind: z.literal('switchover'), phase: z.literal('beginning') }).parse(answer.body)
  const lease = await service.store.queue.claimOne(id, { holder: 'test', leaseSeconds: 30 })
  assert.ok(lease !== null)
  await service.store.operations.enter(lease, operation.id, 'awaitingReplicas', { because: 'another member leads', waitingFor: 'the replicas to follow', progress: { following: 1 } })
  const shown = z.looseObject({ phase: z.string(), waitingFor: z.string(), progress: z.looseObject({ following: z.number() }) })
    .parse((await service.call(service.tokens.red, 'GET', `/v1/operations/${operation.id}`)).body)
  assert.deepEqual([shown.phase, shown.waitingFor, shown.progress.following], ['awaitingReplicas', 'the replicas to follow', 1])
  assert.deepEqual((await show(service, id)).status.operation?.waitingFor, 'the replicas to follow')
  const second = await service.call(service.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'restart' })
  assert.deepEqual([second.status, refusal.parse(second.body).error.code], [409, 'OperationInProgress'])
})

test("a cluster's tier rolls as an operation, never to one without clusters; its durability is a plain change", async (t) => {
  const service = await startService(t)
  const { id } = await newCluster(service)
  const patch = (body: object) => service.call(service.tokens.red, 'PATCH', `/v1/databases/${id}`, body)
  const before = await stateOf(service.pool)
  const starter = await patch({ tier: 'starter' })
  assert.deepEqual([starter.status, refusal.parse(starter.body).error.code], [422, 'TierNotHa'])
  assert.equal((await stateOf(service.pool))['databases'], before['databases'])
  const quorum = cluster.parse((await patch({ durability: 'quorum' })).body)
  assert.deepEqual([quorum.durability, quorum.generation, quorum.status.operation], ['quorum', 2, null])
  const pro = cluster.parse((await patch({ tier: 'pro' })).body)
  assert.deepEqual([pro.tier, pro.status.operation?.kind], ['pro', 'changeTier'])
})

test('a backup is restored as one server, or as a cluster where the team and the tier have that', async (t) => {
  const service = await startService(t)
  const { id } = await newCluster(service)
  await verifiedBackup(service, id)
  const restore = (body: object) => service.call(service.tokens.red, 'POST', `/v1/databases/${id}/restore`, body)
  const plain = cluster.parse((await restore({ name: 'plain' })).body)
  assert.deepEqual([plain.topology, plain.instances[0]?.members.length], ['standalone', 1])
  const whole = cluster.parse((await restore({ name: 'whole', topology: 'ha', durability: 'quorum' })).body)
  assert.deepEqual([whole.topology, whole.durability, whole.instances[0]?.kind, whole.instances[0]?.members.length, whole.status.operation?.kind], ['ha', 'quorum', 'cluster', 3, 'restore'])
  assert.equal((await restore({ name: 'odd', durability: 'quorum' })).status, 400)
  await service.store.teams.setHa(service.teams.red, false, operator)
  const before = await stateOf(service.pool)
  const refused = await restore({ name: 'late', topology: 'ha' })
  assert.deepEqual([refused.status, refusal.parse(refused.body).error.code], [422, 'HaNotEnabled'])
  assert.deepEqual(await stateOf(service.pool), before)
})

test('the tiers say what may be asked for', async (t) => {
  const service = await startService(t)
  const { items } = z.object({ items: z.array(z.looseObject({ name: z.string(), topologies: z.array(z.string()) })) }).parse((await service.call(service.tokens.red, 'GET', '/v1/tiers')).body)
  assert.deepEqual(items.map(({ name, topologies }) => [name, topologies]), [['starter', ['standalone']], ['standard', ['standalone', 'ha']], ['pro', ['standalone', 'ha']]])
})

function incidentOf(databaseId: string, instanceId: string): FailoverRecord {
  const [seen, concluded, over] = [0, 120, 700].map((ms) => new Date(Date.UTC(2030, 0, 1) + ms))
  assert.ok(seen !== undefined && concluded !== undefined && over !== undefined)
  return {
    id: randomUUID(), databaseId, instanceId, at: concluded, verdict: 'releaseLeader', evidence: { members: [{ name: 'm1' }] }, controller: 'controller-a',
    outcome: { at: over, reason: 'LeaderChanged', leaderChanged: true, leaderId: randomUUID(), writeGapMs: 640, facts: {} },
    story: [
      { at: seen, part: 'seen', text: 'The container of member-1 was dead.' }, { at: concluded, part: 'concluded', text: 'The leader is dead.' },
      { at: concluded, part: 'done', text: 'Its leader key was removed.' }, { at: over, part: 'result', text: 'member-2 leads.' },
    ],
    notes: {
      verdict: { severity: 'warning', reason: 'LeaderDied', message: 'The leader member-1 is dead.' },
      outcome: { severity: 'info', reason: 'LeaderChanged', message: 'member-2 leads.', facts: { writeGapMs: 640 } },
    },
  }
}

const explanation = z.looseObject({
  event: z.looseObject({ seq: z.number(), reason: z.string() }),
  story: z.array(z.strictObject({ at: z.iso.datetime(), part: z.string(), text: z.string() })),
  writeGapMs: z.number().nullable(),
  failover: z.looseObject({ id: z.uuid(), verdict: z.string(), evidence: z.unknown() }).nullable(),
  operation: z.looseObject({ id: z.uuid() }).nullable(),
})

test('an incident is listed with its evidence, shown as the last failover, and told in order', async (t) => {
  const service = await startService(t)
  const { id, instances } = await newCluster(service)
  const incident = incidentOf(id, instances[0]?.id ?? '')
  await service.store.failovers.record(incident)
  const listed = z.object({ items: z.array(z.looseObject({ id: z.uuid(), evidence: z.unknown(), outcome: z.looseObject({ writeGapMs: z.number() }) })) })
    .parse((await service.call(service.tokens.red, 'GET', `/v1/databases/${id}/failovers?limit=5`)).body).items
  assert.deepEqual(listed.map((each) => [each.id, each.evidence, each.outcome.writeGapMs]), [[incident.id, incident.evidence, 640]])
  const { lastFailover } = (await show(service, id)).status
  assert.deepEqual([lastFailover?.writeGapMs, lastFailover?.reason], [640, 'LeaderChanged'])
  const answer = await service.call(service.tokens.redMember, 'GET', `/v1/events/${lastFailover?.eventSeq ?? 0}/explanation`)
  const told = explanation.parse(answer.body)
  assert.deepEqual([told.event.reason, told.failover?.id, told.writeGapMs, told.operation], ['LeaderChanged', incident.id, 640, null])
  assert.deepEqual(told.story.map(({ part }) => part), ['seen', 'concluded', 'done', 'result', 'result'])
  assert.equal(told.story.at(-1)?.text, 'No write was acknowledged for 0.64 s.')
})

test('an event of an operation is explained by the operation, any other by what happened around it', async (t) => {
  const service = await startService(t)
  const { id } = await newCluster(service)
  const begun = await service.call(service.tokens.red, 'POST', `/v1/databases/${id}/operations`, { kind: 'restart' })
  const operationId = z.looseObject({ id: z.uuid() }).parse(begun.body).id
  const explain = async (seq: number) => explanation.parse((await service.call(service.tokens.red, 'GET', `/v1/events/${seq}/explanation`)).body)
  const [enabled, requested, started] = [await explain(1), await explain(2), await explain(3)]
  assert.deepEqual([enabled.event.reason, enabled.story.length], ['HaEnabled', 1])
  assert.deepEqual([requested.operation, requested.story.length], [null, 2])
  assert.deepEqual([started.operation?.id, started.story.map(({ part }) => part), started.writeGapMs], [operationId, ['done'], null])
})

test('events of another team are not explained', async (t) => {
  const service = await startService(t)
  const { id, instances } = await newCluster(service)
  await service.store.failovers.record(incidentOf(id, instances[0]?.id ?? ''))
  const statuses = await Promise.all([
    service.call(service.tokens.blue, 'GET', `/v1/events/3/explanation?teamId=${service.teams.red}`),
    service.call(service.tokens.blue, 'GET', '/v1/events/3/explanation'),
    service.call(service.tokens.platform, 'GET', '/v1/events/3/explanation'),
    service.call(service.tokens.platform, 'GET', `/v1/events/3/explanation?teamId=${service.teams.red}`),
  ])
  assert.deepEqual(statuses.map(({ status }) => status), [404, 404, 400, 200])
})
