/** The client and the command line against the real API, over real HTTPS with a certificate of our own authority. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { z } from 'zod'
import { runProgram } from '../../src/cli/program.ts'
import { createClient } from '../../src/client/client.ts'
import { ApiProblem, answerOf } from '../../src/client/problem.ts'
import { createAuthority, type Authority } from '../../src/pki/authority.ts'
import { issueCertificate } from '../../src/pki/certificate.ts'
import { operator, settings, startService, type Service } from '../api/service.ts'

const hourMs = 3_600_000

interface Listening {
  readonly service: Service
  readonly baseUrl: string
  readonly ca: string
}

async function listen(t: TestContext): Promise<Listening> {
  const authority = await newAuthority()
  const service = await startService(t, { tls: await serverIdentity(authority) })
  const { certPem: certificatePem, keyPem, notAfter } = authority
  await service.store.certificates.importIfNone({ id: randomUUID(), certificatePem, keyPem, notAfter })
  return { service, baseUrl: await service.app.listen({ host: '127.0.0.1', port: 0 }), ca: certificatePem }
}

function newAuthority(): Promise<Authority> {
  return createAuthority({ commonName: 'Test', validityMs: 24 * hourMs, now: new Date() })
}

async function serverIdentity(authority: Authority): Promise<{ readonly key: string; readonly cert: string }> {
  const { keyPem, certPem } = await issueCertificate(authority, { commonName: 'api', ipAddresses: ['127.0.0.1'], usages: 'server', validityMs: hourMs, now: new Date() })
  return { key: keyPem.reveal(), cert: certPem }
}

test('the client speaks to a server of our authority and to no other', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  const client = createClient({ baseUrl, token: service.tokens.red, ca })
  t.after(() => client.close())
  assert.deepEqual((await answerOf(client.GET('/v1/teams'))).items.map(({ name }) => name), ['red'])
  assert.equal(await answerOf(client.GET('/v1/ca.pem', { parseAs: 'text' })), ca.endsWith('\n') ? ca : `${ca}\n`)

  const stranger = createClient({ baseUrl, token: service.tokens.red, ca: (await newAuthority()).certPem })
  t.after(() => stranger.close())
  await assert.rejects(answerOf(stranger.GET('/v1/teams')), (error) => error instanceof ApiProblem && error.complaint.code === 'ServiceUnreachable')
})

test('a renewed certificate is used without a restart', async (t) => {
  const { service, baseUrl } = await listen(t)
  const renewed = await newAuthority()
  service.app.server.setSecureContext(await serverIdentity(renewed))
  const client = createClient({ baseUrl, token: null, ca: renewed.certPem })
  t.after(() => client.close())
  assert.deepEqual(await answerOf(client.GET('/healthz')), { ok: true })
})

test('a refusal is an ApiProblem with code, sentence, next step and request id', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  const client = createClient({ baseUrl, token: service.tokens.red, ca })
  t.after(() => client.close())
  const id = randomUUID()
  await assert.rejects(answerOf(client.GET('/v1/databases/{id}', { params: { path: { id } } })), (error) => {
    assert.ok(error instanceof ApiProblem)
    assert.deepEqual([error.status, error.complaint.code, error.complaint.message], [404, 'NotFound', `There is no database ${id}.`])
    return z.uuid().safeParse(error.complaint.requestId).success
  })
})

test('the command line does over the API what a person asks, and prints one JSON object', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  const holdfast = await commandLine(t, baseUrl, ca, service.tokens.platform)
  const named = z.object({ ok: z.literal(true), id: z.string() })
  const team = named.parse(await holdfast('teams', 'create', 'green'))
  const project = named.parse(await holdfast('projects', 'create', team.id, 'shop'))
  const database = z.object({ ok: z.literal(true), id: z.string(), credentials: z.object({ user: z.string(), password: z.string() }) })
    .parse(await holdfast('databases', 'create', project.id, 'orders', '--tier', 'starter', '--allow', '203.0.113.0/24', '10.0.0.0/8'))
  assert.equal(database.credentials.user, 'orders_1')
  assert.partialDeepStrictEqual(await holdfast('databases', 'set-tier', database.id, 'standard'), { tier: 'standard', generation: 2 })
  assert.partialDeepStrictEqual(await holdfast('databases', 'allow', database.id, '0.0.0.0/0', '::/0'), { allowList: ['0.0.0.0/0', '::/0'] })
  assert.partialDeepStrictEqual(await holdfast('databases', 'pause', database.id), { paused: true })
  assert.partialDeepStrictEqual(await holdfast('databases', 'resume', database.id), { paused: false })
  assert.partialDeepStrictEqual(await holdfast('databases', 'list', project.id), { items: [{ id: database.id }] })
  assert.partialDeepStrictEqual(await holdfast('reconcile', database.id, '--wait', '--timeout-ms', '200'), { settled: false })
  assert.partialDeepStrictEqual(await holdfast('credentials', 'rotate', database.id), { credentials: { user: 'orders_2' } })
  assert.partialDeepStrictEqual(await holdfast('backups', 'list', database.id), { items: [] })
  assert.partialDeepStrictEqual(await holdfast('events', '--team', team.id, '--limit', '1'), { items: [{ seq: 1 }] })
  assert.partialDeepStrictEqual(await holdfast('databases', 'delete', database.id, '--confirm-name', 'orders', '--no-final-backup', '--keep-backups-days', '1'), { deletion: { finalBackup: false } })
  assert.partialDeepStrictEqual(await holdfast('databases', 'get', randomUUID()), { ok: false, error: { code: 'NotFound' } })
})

test('the command line makes a cluster, moves and mends it, and tells an incident', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  const holdfast = await commandLine(t, baseUrl, ca, service.tokens.red)
  const { red: project } = service.projects
  const create = (name: string) => holdfast('databases', 'create', project, name, '--tier', 'standard', '--topology', 'ha', '--durability', 'quorum')
  assert.partialDeepStrictEqual(await create('early'), { ok: false, error: { code: 'HaNotEnabled' } })
  assert.partialDeepStrictEqual(await holdfast('ha', 'on', '--team', service.teams.red), { haEnabled: true })
  const { id, instances } = z.object({ id: z.string(), instances: z.array(z.object({ id: z.string() })) }).parse(await create('orders'))
  await service.pool.query(`update instances set initialised_at = now(), system_identifier = '7' where database_id = $1`, [id])
  assert.partialDeepStrictEqual(await holdfast('databases', 'set-durability', id, 'strict'), { durability: 'strict' })

  for (const [kind, ...operands] of [['switchover', id, '--candidate', 'member-2'], ['restart', id], ['reinitialise', id, 'member-3']] as const) {
    const started = z.object({ id: z.string(), kind: z.literal(kind), phase: z.string() }).parse(await holdfast(kind, ...operands))
    assert.partialDeepStrictEqual(await holdfast('operations', 'get', started.id), { outcome: null })
    const waiting = holdfast('operations', 'get', started.id, '--wait')
    await finishOperation(service, id, started.id, kind === 'restart' ? 'failed' : 'succeeded')
    assert.partialDeepStrictEqual(await waiting, kind === 'restart' ? { ok: false, error: { code: 'Stuck', next: 'Look why.' } } : { outcome: 'succeeded' })
  }
  assert.partialDeepStrictEqual(await holdfast('operations', 'list', id), { items: [{ kind: 'reinitialise' }, { kind: 'restart' }, { kind: 'switchover' }] })

  await recordFailover(service, id, instances[0]?.id ?? '')
  const listed = z.object({ items: z.array(z.object({ eventSeq: z.number() })) }).parse(await holdfast('failovers', id))
  assert.partialDeepStrictEqual(await holdfast('explain', String(listed.items[0]?.eventSeq)), { writeGapMs: 512, event: { reason: 'LeaderDied' }, failover: { verdict: 'releaseLeader' } })
  assert.partialDeepStrictEqual(await holdfast('ha', 'off', '--team', service.teams.red), { haEnabled: false })
})

test('an incident is told in sentences: seen, concluded, done, the gap', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  await service.store.teams.setHa(service.teams.red, true, operator)
  const { database: made } = await service.store.databases.create({ ...settings.provisioning, projectId: service.projects.red, name: 'orders', tier: 'pro', topology: 'ha' }, operator)
  await recordFailover(service, made.id, made.instances[0]?.id ?? '')
  const holdfast = await commandLine(t, baseUrl, ca, service.tokens.red)
  const { items } = z.object({ items: z.array(z.object({ eventSeq: z.number() })) }).parse(await holdfast('failovers', made.id))
  const text = await holdfast.text('explain', String(items[0]?.eventSeq))
  const sentences = ['LeaderDied: m1 is dead.', 'What was seen', '+0.000 s  The container of m1 was dead.', 'What was concluded', '+0.120 s  m1 is dead.', 'What was done', 'Its leader key was removed.', 'What came of it', '+0.600 s  m2 leads.', 'No write was acknowledged for 0.51 s.']
  const places = sentences.map((sentence) => text.indexOf(sentence))
  assert.ok(places.every((place, index) => place >= 0 && place > (places[index - 1] ?? -1)), text)
})

test('the certificates can be written where psql looks for them', async (t) => {
  const { service, baseUrl, ca } = await listen(t)
  const holdfast = await commandLine(t, baseUrl, ca, service.tokens.red)
  const { file } = z.object({ file: z.string() }).parse(await holdfast('ca', '--output', join(await scratch(t), 'root.crt')))
  assert.equal((await readFile(file, 'utf8')).trim(), ca.trim())
})

/** As a pass of the loop ends it. */
async function finishOperation({ store }: Service, databaseId: string, operationId: string, outcome: 'succeeded' | 'failed'): Promise<void> {
  const lease = await store.queue.claimOne(databaseId, { holder: 'test', leaseSeconds: 30 })
  assert.ok(lease !== null)
  const failure = { code: 'Stuck', message: 'A member did not come back', next: 'Look why.' }
  await store.operations.finish(lease, operationId, outcome, { message: 'it ended', ...(outcome === 'failed' ? { failure } : {}) })
  await store.queue.release(lease, { dueInMs: 0 })
}

/** As the failover guard tells it. */
async function recordFailover({ store }: Service, databaseId: string, instanceId: string): Promise<void> {
  const [seen, concluded, over] = [new Date(), new Date(Date.now() + 120), new Date(Date.now() + 600)]
  await store.failovers.record({
    id: randomUUID(), databaseId, instanceId, at: concluded, verdict: 'releaseLeader', evidence: {}, controller: 'controller-a',
    outcome: { at: over, reason: 'LeaderChanged', leaderChanged: true, leaderId: null, writeGapMs: 512, facts: {} },
    story: [
      { at: seen, part: 'seen', text: 'The container of m1 was dead.' }, { at: concluded, part: 'concluded', text: 'm1 is dead.' },
      { at: concluded, part: 'done', text: 'Its leader key was removed.' }, { at: over, part: 'result', text: 'm2 leads.' },
    ],
    notes: { verdict: { severity: 'warning', reason: 'LeaderDied', message: 'm1 is dead.' }, outcome: null },
  })
}

interface CommandLine {
  /** With --json; gives the last line of stdout. */
  (...args: string[]): Promise<unknown>
  /** As people read it. */
  readonly text: (...args: string[]) => Promise<string>
}

/** `holdfast …` with a state directory as the service leaves it. */
async function commandLine(t: TestContext, baseUrl: string, ca: string, token: string): Promise<CommandLine> {
  const stateDir = await scratch(t)
  await Promise.all([writeFile(join(stateDir, 'ca.pem'), ca), writeFile(join(stateDir, 'admin-token'), `${token}\n`)])
  const run = async (args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> => {
    let out = ''
    const terminal = { out: (text: string) => { out += text }, err: () => undefined }
    const code = await runProgram([...args, '--state-dir', stateDir, '--api-url', baseUrl], { terminal, environment: {} })
    return { code, out }
  }
  const json = async (...args: string[]): Promise<unknown> => {
    const { code, out } = await run([...args, '--json'])
    const answer: unknown = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '')
    assert.equal(code, z.object({ ok: z.boolean() }).parse(answer).ok ? 0 : 1, out)
    return answer
  }
  return Object.assign(json, { text: async (...args: string[]) => (await run(args)).out })
}

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-client-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}
