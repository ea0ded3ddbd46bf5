/** Against a real member: who is let in, what is verified, and what it says of itself. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectPostgres, readPostgres, type PostgresAddress, type PostgresConnection } from '../../src/clients/postgres.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { commonName, internalName } from '../../src/domain/names.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueFor } from '../../src/pki/issuer.ts'
import { z } from 'zod'
import { openMember } from '../observer/memberRig.ts'

const rig = await openMember()
const { desired, member, controller, signal } = rig
const memberName = internalName.member(member.id)

function address(over: Partial<PostgresAddress> = {}): PostgresAddress {
  return {
    host: rig.host.privateAddress, port: member.ports.postgres, serverName: memberName, user: 'postgres', database: 'postgres',
    ca: desired.trustBundlePem, cert: controller.certificatePem, key: controller.keyPem, applicationName: 'test',
    connectTimeoutMs: 2_000, ...over,
  }
}

async function connected<T>(work: (connection: PostgresConnection) => Promise<T>, over: Partial<PostgresAddress> = {}): Promise<T> {
  const connection = await connectPostgres(address(over), signal)
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

const unreachableFor = (reason: RegExp) => (error: unknown): boolean => {
  assert.ok(isHoldfastError(error), String(error))
  assert.equal(error.code, 'MemberUnreachable')
  assert.match(String(error.facts['reason']), reason)
  return true
}

before(() => rig.startMember())
after(() => rig.sweep())

test('a member is asked for everything in one round trip', async () => {
  const seen = await connected((connection) => readPostgres(connection, signal))
  assert.equal(seen.inRecovery, false)
  assert.match(seen.systemIdentifier, /^\d{19}$/)
  assert.equal(seen.timeline, 1)
  assert.ok(seen.lsn > 0n)
  assert.equal(seen.configHash, rig.memberBlueprint().configHash)
  assert.deepEqual([seen.databases, seen.slots, seen.defaultReadOnly, seen.preparedVersion], [['postgres'], [], false, rig.unprepared])
  assert.deepEqual(seen.roles.map(({ name, verifier, canLogin }) => ({ name, verifier, canLogin })), [{ name: 'postgres', verifier: null, canLogin: true }])
  assert.ok(seen.roles[0]?.sessions !== undefined && seen.roles[0].sessions >= 1)
  assert.ok(seen.databaseBytes > 1_000_000)
  assert.ok(seen.storage !== null && seen.storage.usedBytes > 0 && seen.storage.usedBytes < seen.storage.totalBytes)
})

test('slots, roles with their sessions, databases and the version of what is prepared are seen as they are', async () => {
  await connected(async (connection) => {
    await connection.execute(`
      create role customer login password 'SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=';
      create role owner nologin;
      comment on database postgres is '7'`)
    await connection.execute(`select pg_create_physical_replication_slot('kept', true), pg_create_physical_replication_slot('unused', false)`)
    await connection.execute('create database orders')
    const seen = await readPostgres(connection, signal)
    assert.deepEqual(seen.databases, ['orders', 'postgres'])
    assert.deepEqual(seen.slots.map(({ name, active, walStatus }) => ({ name, active, walStatus })), [
      { name: 'kept', active: false, walStatus: 'reserved' }, { name: 'unused', active: false, walStatus: 'unused' },
    ])
    assert.ok((seen.slots[0]?.retainedBytes ?? -1) > 0)
    assert.equal(seen.slots[1]?.retainedBytes, 0)
    const role = (name: string) => seen.roles.find((candidate) => candidate.name === name)
    assert.match(role('customer')?.verifier ?? '', /^SCRAM-SHA-256\$4096:/)
    assert.deepEqual([role('customer')?.sessions, role('owner')?.canLogin], [0, false])
    assert.equal(seen.preparedVersion, '7')
  })
})

test('a setting that makes transactions read-only is seen on a connection from before', async () => {
  await connected(async (connection) => {
    await connection.execute('alter system set default_transaction_read_only = on')
    await connection.execute('select pg_reload_conf()')
    const limit = performance.now() + 3_000
    while (!(await readPostgres(connection, signal)).defaultReadOnly) {
      assert.ok(performance.now() < limit, 'read-only not seen within 3 s')
      await sleep(20)
    }
    await connection.execute('alter system reset default_transaction_read_only')
    await connection.execute('select pg_reload_conf()')
  })
})

test('the name in the certificate is verified, also where the host is given by a name', async () => {
  await assert.rejects(connectPostgres(address({ serverName: 'member-000000000000.holdfast.internal' })), unreachableFor(/does not carry the name/))
  await assert.rejects(connectPostgres(address({ serverName: 'localhost', host: 'localhost' })), unreachableFor(/does not carry the name|nothing listens/))
})

test('a server of another authority is refused, and so is a client of another authority or name', async () => {
  const now = new Date()
  const stranger = await createAuthority({ commonName: 'stranger', validityMs: 86_400_000, now })
  const forged = await issueFor(stranger, 'x', { commonName: commonName.controller(rig.installation), names: [], usage: 'client' }, 3_600_000, now)
  await assert.rejects(connectPostgres(address({ ca: stranger.certPem })), unreachableFor(/not signed by our authority/))
  await assert.rejects(connectPostgres(address({ cert: forged.certificatePem, key: forged.keyPem })), unreachableFor(/does not trust|reset|closed|refuses/))
  const agent = rig.certificate('agent')
  await assert.rejects(connectPostgres(address({ cert: agent.certificatePem, key: agent.keyPem })), unreachableFor(/refuses our role or certificate/))
})

test('a server that asks for a password gets none', async () => {
  process.env['PGPASSWORD'] = 'must-not-be-sent'
  try {
    await assert.rejects(connectPostgres(address({ user: 'customer' })), unreachableFor(/asked for a password/))
  } finally {
    delete process.env['PGPASSWORD']
  }
})

test('functions of customers are not found by name', async () => {
  const row = z.object({ search_path: z.string() })
  assert.deepEqual(await connected((connection) => connection.query({ text: 'show search_path', row })), [{ search_path: 'pg_catalog' }])
})

test('limits hold: the connection that nobody answers, the statement that does not end, the pass that is given up', async () => {
  const { server, port } = await rig.silentServer()
  const started = performance.now()
  await assert.rejects(connectPostgres(address({ host: '127.0.0.1', port, connectTimeoutMs: 200 })), unreachableFor(/no answer within/))
  assert.ok(performance.now() - started < 1_000)
  server.close()
  await assert.rejects(connectPostgres(address({ host: '127.0.0.1', port })), unreachableFor(/nothing listens there/))

  const connection = await connectPostgres(address({ statementTimeoutMs: 100 }))
  await assert.rejects(connection.execute('select pg_sleep(5)'), (error) => isHoldfastError(error) && error.facts['sqlState'] === '57014')
  assert.equal(connection.usable, true)
  await assert.rejects(connection.execute('select pg_sleep(5)', [], AbortSignal.timeout(20)), unreachableFor(/no answer within/))
  assert.equal(connection.usable, false)
})

test('a refused statement says so and leaves the connection whole; an ended session does not', async () => {
  const connection = await connectPostgres(address())
  await assert.rejects(connection.execute('select 1/0'), (error) => isHoldfastError(error) && error.facts['sqlState'] === '22012')
  assert.equal(connection.usable, true)
  await connected((other) => other.execute(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'idle one'`))
  const idle = await connectPostgres(address({ applicationName: 'idle one' }))
  await connected((other) => other.execute(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'idle one'`))
  const limit = performance.now() + 2_000
  while (idle.usable) {
    assert.ok(performance.now() < limit, 'the end of the session was not noticed within 2 s')
    await sleep(5)
  }
  connection.close()
})
