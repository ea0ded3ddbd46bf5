/** The actions that concern a real PostgreSQL, on a real size-limited volume. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { checkServerIdentity } from 'node:tls'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { z } from 'zod'
import { ensureDisks } from '../../src/bootstrap/disks.ts'
import { loadedRevision } from '../../src/clients/haproxy.ts'
import { connectPostgres, readPostgres, type PostgresConnection } from '../../src/clients/postgres.ts'
import type { Action } from '../../src/domain/action.ts'
import type { Credential, Desired } from '../../src/domain/desired.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { internalName, resourceNames } from '../../src/domain/names.ts'
import type { PostgresSeen } from '../../src/domain/observed.ts'
import { preparedVersion } from '../../src/domain/prepared.ts'
import { Secret } from '../../src/domain/secret.ts'
import { scramVerifier } from '../../src/render/scram.ts'
import { openTestEngine } from '../e2e/testEngine.ts'
import { newInstallation, openRig } from './rig.ts'

const mib = 1024 * 1024
const signal = AbortSignal.timeout(600_000)
const installation = newInstallation()
const host = await openTestEngine(installation)
const images = { postgres: await host.image('postgres'), haproxy: await host.image('haproxy') }
const rig = await openRig({ installation, images, signal, over: { storageLimit: 'loop' } })
const { engine, sample } = rig
const names = resourceNames(installation)
const [instance] = sample.desired.instances
const [member] = instance?.members ?? []
assert.ok(instance !== undefined && member !== undefined)
const { hostId } = member
const dataVolume = names.dataVolume(member.id)
const [credential] = sample.desired.credentials
assert.ok(credential !== undefined)

const apply = (action: Action, desired: Desired = sample.desired) => rig.executor.apply(action, desired, signal)

function memberBlueprint(desired: Desired) {
  const blueprint = rig.blueprinter.blueprints(desired).members.get(member?.id ?? '')
  assert.ok(blueprint !== undefined)
  return blueprint
}

function asController(database = 'postgres'): Promise<PostgresConnection> {
  assert.ok(member !== undefined)
  return connectPostgres({
    host: '172.17.0.1', port: member.ports.postgres, serverName: internalName.member(member.id), user: 'postgres', database,
    ca: sample.desired.trustBundlePem, cert: sample.controller.certificatePem, key: sample.controller.keyPem,
    applicationName: 'test', connectTimeoutMs: 2_000,
  }, signal)
}

/** What PostgreSQL says once `isSo`; fails after `limitMs`. */
async function seen(what: string, isSo: (report: PostgresSeen) => boolean, limitMs = 30_000): Promise<PostgresSeen> {
  const end = Date.now() + limitMs
  let last: unknown
  while (Date.now() < end) {
    const connection = await asController().catch((error: unknown) => { last = error; return null })
    const report = connection === null ? null : await readPostgres(connection, signal).catch((error: unknown) => { last = error; return null })
    connection?.close()
    if (report !== null && isSo(report)) return report
    last = report ?? last
    await pause(50)
  }
  throw new Error(`not so within ${limitMs} ms: ${what}`, { cause: last })
}

/** As a customer does: the server's name verified, a password. */
async function throughEndpoint(port: number, serverName: string): Promise<unknown[]> {
  const client = new pg.Client({
    host: '127.0.0.1', port, user: credential?.roleName ?? '', password: sample.password.reveal(), database: 'orders',
    ssl: { ca: sample.desired.trustBundlePem, servername: serverName, checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate) },
  })
  await client.connect()
  try {
    return (await client.query<{ id: number }>('select id from kept')).rows
  } finally {
    await client.end()
  }
}

async function retried<T>(what: string, work: () => Promise<T>, limitMs = 10_000): Promise<T> {
  const end = Date.now() + limitMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (Date.now() > end) throw new Error(`not so within ${limitMs} ms: ${what}`, { cause: error })
      await pause(50)
    }
  }
}

function customer(role: Credential, password: Secret): pg.Client {
  return new pg.Client({
    host: '172.17.0.1', port: member?.ports.postgres ?? 0, user: role.roleName, password: password.reveal(), database: sample.desired.database.databaseName,
    ssl: { ca: sample.desired.trustBundlePem, servername: internalName.endpoint(sample.desired.endpoint?.id ?? ''), checkServerIdentity: () => undefined },
  })
}

async function asCustomer<T>(role: Credential, password: Secret, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = customer(role, password)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

before(async () => {
  await ensureDisks({ docker: host.docker, engine, installation, image: await host.image('disks'), runLabel: host.runLabel, signal })
  await apply({ kind: 'createNetwork', hostId, name: names.network(sample.desired.project.id), subnet: sample.desired.networks[0]?.subnet ?? '', projectId: sample.desired.project.id })
})
after(async () => {
  await host.sweep()
  await rig.sweep()
})

const createVolume = {
  kind: 'createDataVolume', hostId, memberId: member.id, instanceId: instance.id, databaseId: sample.desired.database.id, name: dataVolume, bytes: 400 * mib,
} as const

test('a data volume of a limited size is made, once', async () => {
  assert.deepEqual(await apply(createVolume), { records: [{ kind: 'volumeSized', memberId: member.id, bytes: 400 * mib }] })
  assert.deepEqual(await apply({ ...createVolume, bytes: 500 * mib }), { records: [{ kind: 'volumeSized', memberId: member.id, bytes: 400 * mib }] })
  const volume = await engine.findVolume(dataVolume, signal)
  assert.equal(volume?.options['type'], 'xfs')
})

test('a member starts on it, initialises it and answers with the configuration of its blueprint', async () => {
  const blueprint = memberBlueprint(sample.desired)
  const began = performance.now()
  await apply({ kind: 'createContainer', blueprint })
  const made = performance.now()
  const report = await seen('PostgreSQL answers', () => true)
  const up = performance.now()
  assert.equal(report.configHash, blueprint.configHash)
  assert.notEqual(report.preparedVersion, preparedVersion)
  console.error(`createContainer ${Math.round(made - began)} ms, first answer after ${Math.round(up - made)} ms more`)
})

test('preparing makes roles and database, and may be repeated', async () => {
  const began = performance.now()
  await apply({ kind: 'prepareDatabase', memberId: member.id })
  console.error(`prepareDatabase ${Math.round(performance.now() - began)} ms`)
  await apply({ kind: 'prepareDatabase', memberId: member.id })
  const report = await seen('prepared', (now) => now.preparedVersion === preparedVersion)
  assert.ok(report.databases.includes('orders'))
  const role = report.roles.find((candidate) => candidate.name === credential.roleName)
  assert.equal(role?.verifier, credential.verifier.reveal())
  assert.ok(report.roles.some((candidate) => candidate.name === 'holdfast_wal'))
  await asCustomer(credential, sample.password, async (client) => {
    await client.query('create table kept (id integer)')
    await client.query('insert into kept values (1)')
    const { rows } = await client.query('select tableowner from pg_tables where tablename = $1', ['kept'])
    assert.deepEqual(rows, [{ tableowner: 'orders_owner' }])
    await assert.rejects(client.query('create database mine'), { code: '42501' })
  })
})

test('the endpoint leads to it: directly, and pooled, under its own name', async () => {
  const { endpoint } = sample.desired
  assert.ok(endpoint !== null)
  const [proxy] = endpoint.proxies
  const blueprint = rig.blueprinter.blueprints(sample.desired).proxies.get(`${endpoint.id}/0`)
  assert.ok(proxy !== undefined && blueprint !== undefined)
  const began = performance.now()
  await apply({ kind: 'createContainer', blueprint })
  console.error(`createContainer of the endpoint ${Math.round(performance.now() - began)} ms`)
  const serverName = internalName.endpoint(endpoint.id)
  for (const port of [proxy.ports.rw, proxy.ports.ro, proxy.ports.pooled]) {
    const rows = await retried(`port ${port}`, () => throughEndpoint(port, serverName))
    assert.deepEqual(rows, [{ id: 1 }])
  }
  const runtime = {
    host: '172.17.0.1', port: proxy.ports.runtime, serverName, ca: sample.desired.trustBundlePem,
    cert: sample.controller.certificatePem, key: sample.controller.keyPem, timeoutMs: 2_000,
  }
  assert.equal(await loadedRevision(runtime, signal), blueprint.configHash)
  const closed = { ...sample.desired, database: { ...sample.desired.database, allowList: ['192.0.2.0/24'] } }
  const narrowed = rig.blueprinter.blueprints(closed).proxies.get(`${endpoint.id}/0`)
  assert.ok(narrowed !== undefined && narrowed.specHash === blueprint.specHash)
  const { id } = await engine.inspectContainer(blueprint.name, signal)
  await apply({ kind: 'installFiles', blueprint: narrowed, containerId: id }, closed)
  await retried('the new allow-list', async () => assert.equal(await loadedRevision(runtime, signal), narrowed.configHash))
  const refused = new pg.Client({ host: '127.0.0.1', port: proxy.ports.rw, user: credential.roleName, password: 'x', database: 'orders', ssl: { rejectUnauthorized: false } })
  await assert.rejects(refused.connect())
  await engine.removeContainer(id, { force: true }, signal)
})

test('preparing again leaves what the customer made of the schema', async () => {
  await asCustomer(credential, sample.password, (client) => client.query('alter schema public rename to other'))
  await apply({ kind: 'prepareDatabase', memberId: member.id })
  await asCustomer(credential, sample.password, (client) => client.query('alter schema other rename to public'))
})

test('a second password works beside the first; an ended one logs nobody in and ends its sessions', async () => {
  const password = new Secret('a-second-password-of-some-length')
  const second: Credential = { ...credential, id: randomUUID(), roleName: 'orders_2', password, verifier: scramVerifier(password) }
  const old: Credential = { ...credential, endsAt: new Date(Date.now() + 60_000) }
  await apply({ kind: 'prepareDatabase', memberId: member.id }, { ...sample.desired, credentials: [old, second] })
  await asCustomer(second, password, (client) => client.query('insert into kept values (2)'))
  const session = customer(old, sample.password)
  await session.connect()
  const ended = new Promise<unknown>((resolve) => session.on('error', resolve))
  await apply({ kind: 'prepareDatabase', memberId: member.id }, { ...sample.desired, credentials: [{ ...old, endsAt: new Date(Date.now() - 1) }, second] })
  await ended
  await session.end().catch(() => undefined)
  await assert.rejects(asCustomer(old, sample.password, (client) => client.query('select 1')), { code: '28P01' })
  await asCustomer(second, password, async (client) => {
    assert.equal((await client.query('select id from kept')).rowCount, 2)
  })
  await apply({ kind: 'prepareDatabase', memberId: member.id })
})

test('a changed configuration is loaded without a restart', async () => {
  const { startedAt } = await engine.inspectContainer(names.member(member.id), signal)
  const bigger = { ...sample.desired, database: { ...sample.desired.database, storageBytes: 800 * mib } }
  const blueprint = memberBlueprint(bigger)
  const { id } = await engine.inspectContainer(blueprint.name, signal)
  await apply({ kind: 'installFiles', blueprint, containerId: id }, bigger)
  await seen('the new configuration', (report) => report.configHash === blueprint.configHash, 5_000)
  assert.deepEqual((await engine.inspectContainer(blueprint.name, signal)).startedAt, startedAt)
})

test('read-only is for new transactions of customers, who may still delete, and never stops preparing', async () => {
  await apply({ kind: 'setReadOnly', memberId: member.id, readOnly: true })
  await seen('read-only', (report) => report.defaultReadOnly, 5_000)
  await asCustomer(credential, sample.password, async (client) => {
    await assert.rejects(client.query('insert into kept values (3)'), { code: '25006' })
    await client.query('set default_transaction_read_only = off')
    await client.query('delete from kept where id = 2')
  })
  await apply({ kind: 'prepareDatabase', memberId: member.id })
  await apply({ kind: 'setReadOnly', memberId: member.id, readOnly: false })
  await seen('writable', (report) => !report.defaultReadOnly, 5_000)
})

test('a slot is dropped, once and again', async () => {
  const connection = await asController()
  const slots = { text: 'select slot_name from pg_replication_slots', row: z.object({ slot_name: z.string() }) }
  await connection.execute("select pg_create_physical_replication_slot('holdfast_wal', true)", [], signal)
  await apply({ kind: 'dropSlot', memberId: member.id, slot: 'holdfast_wal' })
  await apply({ kind: 'dropSlot', memberId: member.id, slot: 'holdfast_wal' })
  assert.deepEqual(await connection.query(slots, [], signal), [])
  connection.close()
})

test('the data volume grows under the running database', async () => {
  const grow = { kind: 'growDataVolume', hostId, memberId: member.id, name: dataVolume, bytes: 600 * mib } as const
  assert.deepEqual(await apply(grow), { records: [{ kind: 'volumeSized', memberId: member.id, bytes: 600 * mib }] })
  await apply(grow)
  const { stdout } = await engine.exec(names.member(member.id), ['df', '--output=size', '-BM', '/data'], {}, signal)
  const size = Number(/(\d+)M$/.exec(stdout.trim())?.[1])
  assert.ok(size > 450 && size <= 600, stdout)
})

test('a disk that is mounted is not removed; stopped and removed, everything goes', async () => {
  const remove = { kind: 'removeVolume', hostId, name: dataVolume, memberId: member.id } as const
  await assert.rejects(apply(remove), (error) => isHoldfastError(error) && error.code === 'Conflict')
  await asCustomer(credential, sample.password, (client) => client.query('select 1'))
  const { id, name } = await engine.inspectContainer(names.member(member.id), signal)
  await apply({ kind: 'stopContainer', hostId, containerId: id, name, timeoutSeconds: 60 })
  assert.equal((await engine.inspectContainer(id, signal)).exitCode, 0)
  await apply({ kind: 'removeContainer', hostId, containerId: id, name })
  await apply(remove)
  await apply(remove)
  assert.equal(await engine.findVolume(dataVolume, signal), null)
  const { stdout } = await engine.exec(`${installation}-disks`, ['disk', 'list'], {}, signal)
  assert.deepEqual(JSON.parse(stdout), { disks: [] })
})
