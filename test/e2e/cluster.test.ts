/**
 * The life of a highly available database: made, moved, restarted, rebuilt, grown, loosened and tightened, and deleted, while a writer,
 * observers at every member and a list of appends go on all the time.
 */
import assert from 'node:assert/strict'
import { request } from 'node:https'
import { before, describe, test } from 'node:test'
import { ApiProblem, answerOf } from '../../src/client/problem.ts'
import type { paths } from '../../src/client/schema.ts'
import type { KeyPair } from '../../src/domain/desired.ts'
import { endings } from '../harness/endings.ts'
import { everythingOf } from '../harness/containers.ts'
import { ask, backUpNow, deleteDatabase, newProject, restored, withSession } from '../harness/databases.ts'
import { asCustomer, memberPlaces, openHaProject, orderCluster, removeCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import { etcdPlaces } from '../harness/ha/etcd.ts'
import { lookAtCluster, untilWhole, type MemberPlace, type Whole } from '../harness/ha/members.ts'
import { directTo, openSession, within } from '../harness/ha/session.ts'
import { startNewcomer, startPooled } from '../harness/pooled.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

type Order = paths['/v1/databases/{id}/operations']['post']['requestBody']['content']['application/json']

const wholeLimitMs = 120_000
const operationLimitMs = 240_000
/** A few loops of Patroni and passes of ours: the writer has to be well again before the next thing is asked for. */
const steadyLimitMs = 60_000
const askMs = 5_000

/** The status of its answer; throws when it does not come to that. */
function answerTo(place: { readonly host: string; readonly port: number; readonly path: string }, shown: KeyPair | null, body: object = {}): Promise<number> {
  const identity = shown === null ? {} : { cert: shown.certificatePem, key: shown.keyPem.reveal() }
  return new Promise((resolve, reject) => {
    // whom we talk to does not matter here; what we may do there does
    const asked = request({ ...place, ...identity, method: 'POST', agent: false, rejectUnauthorized: false, timeout: askMs }, (answer) => {
      answer.resume().on('error', reject)
      resolve(answer.statusCode ?? 0)
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer'))).on('error', reject).end(JSON.stringify(body))
  })
}

describe('a highly available database', () => {
  const ending = endings()
  let service: TestService
  let site: Site
  let projectId: string
  let customer: ClusterCustomer
  let places: readonly MemberPlace[]
  let watch: Watch

  const params = (): { readonly path: { readonly id: string } } => ({ path: { id: customer.id } })
  const whole = (): Promise<Whole> => untilWhole(site, places, wholeLimitMs)
  const settled = (): ReturnType<typeof untilClusterSettled> => untilClusterSettled(site, customer.id, wholeLimitMs)

  /** Returns the phases that were seen while it ran. */
  async function untilEnded(id: string): Promise<readonly string[]> {
    const phases = new Set<string>()
    await until('the operation to end', async () => {
      const { outcome, phase, waitingFor, failure } = await answerOf(site.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
      phases.add(phase)
      if (outcome === 'failed') throw new Error(`it failed: ${failure?.message ?? ''}`)
      return outcome === 'succeeded' ? true : new NotYet(`${phase}, waiting for ${waitingFor ?? 'nothing'}`)
    }, { limitMs: operationLimitMs, everyMs: 200 })
    return [...phases]
  }

  async function perform(order: Order): Promise<readonly string[]> {
    const phases = await untilEnded((await answerOf(site.api.POST('/v1/databases/{id}/operations', { params: params(), body: order }))).id)
    await whole()
    await watch.writer.acknowledgedAfter(watch.writer.now(), steadyLimitMs)
    return phases
  }

  async function startsOf(): Promise<ReadonlyMap<string, string>> {
    const starts = await Promise.all(places.map(async ({ name, container }) => [name, (await site.docker.getContainer(container).inspect()).State.StartedAt] as const))
    return new Map(starts)
  }

  async function atMember(place: MemberPlace, statement: string): Promise<string> {
    const member = await openSession(directTo(site, place, 'postgres'), askMs)
    try {
      return Object.values((await within(member, askMs, () => member.client.query<Record<string, string>>(statement))).rows[0] ?? {})[0] ?? ''
    } finally {
      member.leave()
    }
  }

  before(async () => {
    service = await openService(ending)
    site = await openSite(service)
    projectId = await openHaProject(site)
  })

  test('is refused to a team without the beta and on a tier without it, and nothing is made', async () => {
    const plain = await newProject(service, 'plain')
    for (const [project, tier, code] of [[plain.projectId, 'standard', 'HaNotEnabled'], [projectId, 'starter', 'TierNotHa']] as const) {
      const asked = answerOf(site.api.POST('/v1/projects/{id}/databases', { params: { path: { id: project } }, body: { name: 'shop', tier, topology: 'ha' } }))
      await assert.rejects(asked, (error) => error instanceof ApiProblem && error.complaint.code === code)
      const { items } = await answerOf(site.api.GET('/v1/projects/{id}/databases', { params: { path: { id: project } } }))
      assert.deepEqual(items, [])
    }
  })

  test('is one leader with two replicas that every commit waits for, and reads come from a replica', async () => {
    customer = await orderCluster(site, projectId, { name: 'shop' })
    await service.noteSecret(`password of ${customer.login.user}`, customer.login.password)
    places = await memberPlaces(site, customer.id)
    const { leader } = await whole()
    watch = await startWatch(site, customer, places)
    ending.after(() => watch.stop())
    assert.match(await atMember(leader, 'show synchronous_standby_names'), /^2 \(/)
    const asked = async (connection: ClusterCustomer['readWrite']): Promise<unknown> =>
      asCustomer(connection, async (client) => (await client.query<{ recovering: boolean }>('select pg_is_in_recovery() as recovering')).rows[0]?.recovering)
    assert.deepEqual([await asked(customer.readWrite), await asked(customer.readOnly)], [false, true])
  })

  test('is shown with its members, and says nothing of a failover that was none', async () => {
    const { instances, status } = await settled()
    const members = instances.flatMap((instance) => instance.members)
    assert.deepEqual(members.map(({ role, syncState }) => `${role ?? ''} ${syncState ?? ''}`.trim()).toSorted(), ['leader', 'replica sync', 'replica sync'])
    assert.equal(status.lastFailover, null)
  })

  test('lets nobody at its members, their Patroni or etcd who has no certificate, and nobody change anything without a password', async () => {
    const etcd = (await etcdPlaces(site)).map(({ host, clientPort }) => ({ host, port: clientPort, path: '/v3/kv/range' }))
    const patroni = places.map(({ host, ports }) => ({ host, port: ports.patroni, path: '/patroni' }))
    for (const place of [...etcd, ...patroni]) {
      await assert.rejects(answerTo(place, null), /certificate required|alert|socket hang up|ECONNRESET/i, `${place.path} without a certificate`)
    }
    const { replicas: [replica] } = await whole()
    assert.ok(replica !== undefined)
    for (const [place, path, body] of [
      [patroni[0], '/switchover', { leader: 'any' }], [patroni[0], '/restart', {}], [patroni[0], '/config', {}],
      [etcd[0], '/v3/kv/range', { key: Buffer.from('/').toString('base64') }], [etcd[0], '/v3/kv/put', { key: Buffer.from('/x').toString('base64'), value: '' }],
    ] as const) {
      assert.ok(place !== undefined)
      const status = await answerTo({ ...place, path }, site.superuser, body)
      assert.ok(status >= 400, `${path} with a certificate and without a password: ${status}`)
    }
    for (const user of ['postgres', 'holdfast_replicator', 'holdfast_rewind', 'holdfast_wal']) {
      const stranger = { host: replica.host, port: replica.ports.postgres, user, database: 'postgres', ssl: { ca: site.ca, checkServerIdentity: () => undefined } }
      await assert.rejects(openSession(stranger, askMs), /certificate|pg_hba|authentication/i, user)
    }
  })

  test('moves its leader to the replica that was chosen', async (t) => {
    const { leader, replicas: [, chosen] } = await whole()
    assert.ok(chosen !== undefined)
    const since = watch.writer.now()
    const phases = await perform({ kind: 'switchover', candidate: chosen.memberId })
    t.diagnostic(`write gap ${Math.round(watch.writer.gapSince(since))} ms; ${phases.join(', ')}`)
    const after = await whole()
    assert.equal(after.leader.name, chosen.name)
    assert.ok(after.replicas.some(({ name }) => name === leader.name), 'the former leader follows')
  })

  test('lets clients of its pools wait while its leader moves, without one error', async (t) => {
    await asCustomer(customer.pooled, (client) => client.query('create table if not exists pooled (id bigint generated always as identity)'))
    const writers = await Promise.all([1, 2, 3].map(() => startPooled(customer.pooled, 'insert into pooled default values returning id')))
    const readers = await Promise.all([1, 2, 3].map(() => startPooled(customer.pooledReads, 'select count(*) from pooled')))
    const newcomers = await Promise.all([customer.pooled, customer.pooledReads].map((config) => startNewcomer(config, 'select 1')))
    const clients = [...writers, ...readers, ...newcomers]
    t.diagnostic((await perform({ kind: 'switchover' })).join(', '))
    // the proxies end what was left at the former replica some seconds later
    const before = clients.map(({ answers }) => answers)
    await until('everybody to go on', () => Promise.resolve(clients.every(({ answers }, index) => answers > (before[index] ?? 0) + 200) ? true : new NotYet('too few answers')), { limitMs: steadyLimitMs })
    await Promise.all(clients.map((client) => client.stop()))
    for (const [kind, all] of [['writers', writers], ['readers', readers], ['newcomers', newcomers]] as const) t.diagnostic(`${kind} waited ${Math.round(Math.max(...all.map(({ longestGapMs }) => longestGapMs)))} ms`)
    assert.deepEqual(clients.flatMap(({ errors }) => errors), [])
  })

  test('does not wait for a pooled transaction that stays open: it is cut off, and nobody else', async () => {
    const slow = await openSession(customer.pooled, askMs)
    await slow.client.query('begin')
    await slow.client.query('insert into pooled default values')
    const writer = await startPooled(customer.pooled, 'insert into pooled default values returning id')
    const newcomer = await startNewcomer(customer.pooled, 'select 1')
    await perform({ kind: 'switchover' })
    await assert.rejects(slow.client.query('commit'))
    slow.leave()
    await Promise.all([writer, newcomer].map((client) => client.stop()))
    assert.deepEqual([...writer.errors, ...newcomer.errors], [])
  })

  test('is backed up from whoever leads now, and a restore follows the change of timelines', async () => {
    const mark = (text: string): Promise<unknown> => asCustomer(customer.readWrite, async (client) => {
      await client.query('create table if not exists marks (text text)')
      await client.query('insert into marks values ($1)', [text])
    })
    await mark('after the first move')
    await backUpNow(service, customer.id)
    await perform({ kind: 'switchover' })
    await mark('after the second move')
    const copy = await restored(service, customer, { name: 'shop-again', at: new Date().toISOString() })
    assert.equal(await withSession(service, copy, (client) => ask(client, `select string_agg(text, ', ' order by text) from marks`)), 'after the first move, after the second move')
    await deleteDatabase(service, copy)
  })

  test('is restored as a cluster of its own, whole, when that is asked for', async (t) => {
    const began = performance.now()
    const copy = await restored(service, customer, { name: 'shop-whole', topology: 'ha' })
    const members = await memberPlaces(site, copy.id)
    const { leader } = await untilWhole(site, members, wholeLimitMs)
    t.diagnostic(`${Math.round((performance.now() - began) / 1_000)} s from the call to two synchronous replicas`)
    assert.equal(await withSession(service, copy, (client) => ask(client, `select string_agg(text, ', ' order by text) from marks`)), 'after the first move')
    await withSession(service, copy, (client) => ask(client, `insert into marks values ('in the copy') returning text`))
    assert.match(await atMember(leader, 'show synchronous_standby_names'), /^2 \(/)
    await deleteDatabase(service, copy)
  })

  test('restarts one member after the other, the leader last, and clients of its pools see no error', async (t) => {
    const { leader } = await whole()
    const before = await startsOf()
    const writer = await startPooled(customer.pooled, 'insert into pooled default values returning id')
    const readers = await Promise.all([1, 2, 3].map(() => startPooled(customer.pooledReads, 'select count(*) from pooled')))
    const newcomer = await startNewcomer(customer.pooledReads, 'select 1')
    const clients = [writer, ...readers, newcomer]
    t.diagnostic((await perform({ kind: 'restart' })).join(', '))
    await Promise.all(clients.map((client) => client.stop()))
    t.diagnostic(`the writer waited ${Math.round(writer.longestGapMs)} ms, readers ${Math.round(Math.max(...readers.map(({ longestGapMs }) => longestGapMs)))} ms`)
    assert.deepEqual(clients.flatMap(({ errors }) => errors), [])
    const after = await startsOf()
    for (const { name } of places) assert.notEqual(after.get(name), before.get(name), `${name} was started anew`)
    const last = [...after].toSorted(([, left], [, right]) => (left < right ? -1 : 1)).at(-1)
    assert.equal(last?.[0], leader.name)
  })

  test('copies a member anew when it is asked to, and refuses that for the leader', async (t) => {
    const { leader, replicas: [replica] } = await whole()
    assert.ok(replica !== undefined)
    const refused = answerOf(site.api.POST('/v1/databases/{id}/operations', { params: params(), body: { kind: 'reinitialise', member: leader.memberId } }))
    await assert.rejects(refused, (error) => error instanceof ApiProblem && error.status === 409)
    const ageOf = (): Promise<string> => atMember(replica, `select (pg_stat_file('PG_VERSION')).modification::text`)
    const before = await ageOf()
    t.diagnostic((await perform({ kind: 'reinitialise', member: replica.memberId })).join(', '))
    assert.notEqual(await ageOf(), before, 'its data are new')
  })

  test('waits for any one replica in quorum mode, and for both again in strict', async () => {
    for (const [durability, expected] of [['quorum', /^ANY 1 \(/], ['strict', /^2 \(/]] as const) {
      await answerOf(site.api.PATCH('/v1/databases/{id}', { params: params(), body: { durability } }))
      await until(`commits to wait as ${durability} says`, async () => {
        const { leader } = await whole()
        const standbys = await atMember(leader, 'show synchronous_standby_names')
        return expected.test(standbys) ? true : new NotYet(standbys)
      }, { limitMs: wholeLimitMs })
      await watch.writer.acknowledgedAfter(watch.writer.now(), steadyLimitMs)
    }
    await settled()
  })

  test('grows to another tier member by member', async (t) => {
    const memoryOf = async (): Promise<readonly (number | undefined)[]> =>
      Promise.all(places.map(async ({ container }) => (await site.docker.getContainer(container).inspect()).HostConfig.Memory))
    const before = await memoryOf()
    const since = watch.writer.now()
    const { status: { operation } } = await answerOf(site.api.PATCH('/v1/databases/{id}', { params: params(), body: { tier: 'pro' } }))
    const id = operation?.id ?? await until('the change to begin', async () => {
      const { status } = await answerOf(site.api.GET('/v1/databases/{id}', { params: params() }))
      return status.operation?.id ?? new NotYet('no operation')
    }, { limitMs: steadyLimitMs })
    t.diagnostic((await untilEnded(id)).join(', '))
    await whole()
    t.diagnostic(`longest write gap ${Math.round(watch.writer.gapSince(since))} ms`)
    const after = await memoryOf()
    assert.ok(after.every((memory, index) => (memory ?? 0) > (before[index] ?? 0)), `${before.join(' ')} to ${after.join(' ')}`)
    assert.equal((await settled()).tier, 'pro')
  })

  test('goes on when its team leaves the beta', async () => {
    const { team } = await settled()
    await answerOf(site.api.PUT('/v1/teams/{id}/ha', { params: { path: { id: team.id } }, body: { enabled: false } }))
    await settled()
    assert.notEqual((await lookAtCluster(site, places)).leader, null)
    await watch.writer.acknowledgedAfter(watch.writer.now(), steadyLimitMs)
  })

  test('has lost nothing of what it acknowledged, never had two writers, and leaves nothing behind', async (t) => {
    const { acked, lost, doubleWriters, anomalies } = await watch.end()
    t.diagnostic(`${acked} acknowledged`)
    assert.deepEqual({ lost, doubleWriters, anomalies: anomalies.filter(({ kind }) => kind !== 'staleRead') }, { lost: 0, doubleWriters: [], anomalies: [] })
    await removeCluster(site, customer)
    assert.deepEqual(await everythingOf(service, customer.id), [])
  })
})
