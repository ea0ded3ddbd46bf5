/** Backup, verification, reading back and restore as actions, with a real PostgreSQL and a real object store. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { ensureObjectStore } from '../../src/bootstrap/objectStore.ts'
import { connectPostgres, readPostgres, type PostgresConnection } from '../../src/clients/postgres.ts'
import { connectObjectStore, type ObjectStore } from '../../src/clients/s3.ts'
import type { Action } from '../../src/domain/action.ts'
import { hostOf, type Backup, type Desired, type Instance, type Member } from '../../src/domain/desired.ts'
import { internalName, resourceNames } from '../../src/domain/names.ts'
import type { PostgresSeen } from '../../src/domain/observed.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueFor } from '../../src/pki/issuer.ts'
import type { ObjectStoreAccess } from '../../src/render/blueprints.ts'
import { openTestEngine } from '../e2e/testEngine.ts'
import { newInstallation, openRig, privateAddress, type Rig } from './rig.ts'

const signal = AbortSignal.timeout(900_000)
const installation = newInstallation()
const bucket = `${installation}-backups`
const host = await openTestEngine(installation)
const images = { postgres: await host.image('postgres'), haproxy: await host.image('haproxy') }
const names = resourceNames(installation)
const storePort = 31_500 + (randomBytes(2).readUInt16BE() % 500)
const credentials = { accessKeyId: 'AKTEST', secretAccessKey: new Secret(randomBytes(20).toString('hex')) }
const authority = await createAuthority({ commonName: `Test ${installation}`, validityMs: 86_400_000, now: new Date() })

const rigs: Rig[] = []
let store: ObjectStore
let source: Rig
let label = ''
const backup = { backupId: randomUUID(), instanceId: '' }

before(async () => {
  const serverName = internalName.objectStore
  const certificate = await issueFor(authority, randomUUID(), { commonName: serverName, names: [serverName], usage: 'server' }, 86_400_000, new Date())
  const connection = await ensureObjectStore({
    engine: host.engine, installation, image: await host.image('objectstore'), bucket, serverName, credentials,
    certificate: { certPem: certificate.certificatePem, keyPem: certificate.keyPem, caPem: authority.certPem },
    publish: { address: privateAddress, port: storePort }, report: () => undefined, signal,
  })
  store = connectObjectStore(connection)
  source = await open()
  backup.instanceId = serving(source.sample.desired).instance.id
})
after(async () => {
  store.close()
  await host.sweep()
  await Promise.all(rigs.map((rig) => rig.sweep()))
})

async function open(): Promise<Rig> {
  const objectStore: ObjectStoreAccess = {
    host: internalName.objectStore, port: storePort, region: 'us-east-1', bucket, uriStyle: 'path', address: privateAddress,
    accessKey: new Secret(credentials.accessKeyId), secretKey: credentials.secretAccessKey, caPem: authority.certPem,
  }
  const over = { repositories: { store, bucket }, repositoryOf: () => Promise.resolve(serving(source.sample.desired).instance.repository) }
  const rig = await openRig({ installation, images, signal, over, objectStore, authority })
  rigs.push(rig)
  return rig
}

function serving(desired: Desired): { instance: Instance; member: Member } {
  const [instance] = desired.instances
  const [member] = instance?.members ?? []
  assert.ok(instance !== undefined && member !== undefined)
  return { instance, member }
}

async function ground(rig: Rig, desired: Desired): Promise<void> {
  const { instance, member } = serving(desired)
  const { project, database, networks: [network] } = desired
  await rig.executor.apply({ kind: 'createNetwork', hostId: member.hostId, name: names.network(project.id), subnet: network?.subnet ?? '', projectId: project.id }, desired, signal)
  await rig.executor.apply({
    kind: 'createDataVolume', hostId: member.hostId, memberId: member.id, instanceId: instance.id, databaseId: database.id, name: names.dataVolume(member.id), bytes: 1,
  }, desired, signal)
}

async function startMember(rig: Rig, desired: Desired): Promise<PostgresSeen> {
  const { member } = serving(desired)
  const blueprint = rig.blueprinter.blueprints(desired).members.get(member.id)
  assert.ok(blueprint !== undefined)
  await rig.executor.apply({ kind: 'createContainer', blueprint }, desired, signal)
  const end = Date.now() + 30_000
  for (;;) {
    try {
      return await within(rig, desired, 'postgres', (connection) => readPostgres(connection, signal))
    } catch (error) {
      if (Date.now() > end) throw error
      await pause(100)
    }
  }
}

async function within<T>(rig: Rig, desired: Desired, database: string, work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
  const { member } = serving(desired)
  const connection = await connectPostgres({
    host: hostOf(desired, member.hostId).privateAddress, port: member.ports.postgres, serverName: internalName.member(member.id), user: 'postgres', database,
    ca: desired.trustBundlePem, cert: rig.sample.controller.certificatePem, key: rig.sample.controller.keyPem,
    applicationName: 'test', connectTimeoutMs: 2_000,
  }, signal)
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

const resultSchema = z.union([
  z.object({ ok: z.literal(true), facts: z.record(z.string(), z.unknown()) }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
])

/** Starts a job, twice, and waits for its result. */
async function job(rig: Rig, desired: Desired, order: Extract<Action, { kind: 'startJob' }>['order']): Promise<Readonly<Record<string, unknown>>> {
  await rig.executor.apply({ kind: 'startJob', order }, desired, signal)
  await rig.executor.apply({ kind: 'startJob', order }, desired, signal)
  const name = names.job(order.jobId)
  const exitCode = await rig.engine.waitExit(name, 120_000, signal)
  const log = await rig.engine.logs(name, { tail: 200 }, signal)
  const result = resultSchema.parse(JSON.parse((await rig.engine.logs(name, { tail: 1, stderr: false }, signal)).trim()))
  assert.ok(result.ok && exitCode === 0, log)
  return result.facts
}

const rows = { text: 'select id from public.kept order by id', row: z.object({ id: z.number() }) }

test('a full backup is taken by a job beside the agent, verified by another, and read back from the store', async () => {
  const { desired } = source.sample
  const { instance, member } = serving(desired)
  await ground(source, desired)
  await startMember(source, desired)
  await source.executor.apply({ kind: 'prepareDatabase', memberId: member.id }, desired, signal)
  await within(source, desired, 'orders', (connection) => connection.execute('create table public.kept as select generate_series(1, 3) as id', [], signal))
  const agent = source.blueprinter.blueprints(desired).agents.get(instance.id)
  assert.ok(agent !== undefined)
  await source.executor.apply({ kind: 'createContainer', blueprint: agent }, desired, signal)

  const began = performance.now()
  const taken = await job(source, desired, { job: 'backup', jobId: 'b-backup-1', instanceId: instance.id, kind: 'full' })
  const backedUp = performance.now()
  label = z.string().parse(taken['label'])
  await job(source, desired, { job: 'verify', jobId: 'b-verify-1', instanceId: instance.id, label })
  const verified = performance.now()
  const { records } = await source.executor.apply({ kind: 'readBackBackup', ...backup, label }, desired, signal)
  console.error(`backup ${Math.round(backedUp - began)} ms, verify ${Math.round(verified - backedUp)} ms, read back ${Math.round(performance.now() - verified)} ms`)
  const [record] = records
  assert.ok(record?.kind === 'backupState' && record.state === 'verified')
  assert.ok((record.facts?.repositoryBytes ?? 0) > 1_000_000 && (record.facts?.objectCount ?? 0) > 2, JSON.stringify(record))
})

test('a set that is not in the store does not count, and says why', async () => {
  const { records } = await source.executor.apply({ kind: 'readBackBackup', ...backup, label: '20200101-000000F' }, source.sample.desired, signal)
  const [state, event] = records
  assert.ok(state?.kind === 'backupState' && state.state === 'failed' && state.facts?.failure?.code === 'ReadBackFailed')
  assert.ok(event?.kind === 'event' && event.note.message.includes('backup.manifest'))
})

test('expiring keeps what retention wants, and notes sets that are gone', async () => {
  const { desired } = source.sample
  const known = (id: string, of: string): Backup => ({
    id, databaseId: desired.database.id, instanceId: backup.instanceId, kind: 'full', trigger: 'scheduled', state: 'verified', attempt: 1, label: of,
    requestedAt: new Date(), startedAt: null, finishedAt: null, verifiedAt: new Date(), stopLsn: null, databaseBytes: null, repositoryBytes: 1, objectCount: 1, failure: null,
  })
  const gone = randomUUID()
  const backups = [known(backup.backupId, label), known(gone, '20200101-000000F')]
  const { records } = await source.executor.apply({ kind: 'expireBackups', instanceId: backup.instanceId }, { ...desired, backups }, signal)
  assert.deepEqual(records, [{ kind: 'backupState', backupId: gone, state: 'expired' }])
})

test('a restore fills the volume of a new instance from the repository of the other, which then serves', async () => {
  const target = await open()
  const { desired } = target.sample
  const { instance } = serving(desired)
  const restoring = { ...desired, instances: [{ ...instance, role: 'restoring' as const }] }
  await ground(target, restoring)
  const { database: { id: databaseId }, instances: [from] } = source.sample.desired
  const order = { job: 'restore', jobId: 'r-restore-1', instanceId: instance.id, source: { databaseId, instanceId: from?.id ?? '', label, targetTime: null } } as const
  const facts = await job(target, restoring, order)
  const original = await within(source, source.sample.desired, 'postgres', (connection) => readPostgres(connection, signal))
  assert.equal(facts['systemIdentifier'], original.systemIdentifier)

  const initialised = { ...desired, instances: [{ ...instance, initialisedAt: new Date(), systemIdentifier: original.systemIdentifier }] }
  const report = await startMember(target, initialised)
  assert.equal(report.inRecovery, false)
  assert.deepEqual(await within(target, initialised, 'orders', (connection) => connection.query(rows, [], signal)), [{ id: 1 }, { id: 2 }, { id: 3 }])
})

test('purging empties the repository of the database, and of no other', async () => {
  const { desired } = source.sample
  await store.putObject(bucket, 'lineages/other/kept', 'kept', signal)
  const { records } = await source.executor.apply({ kind: 'purgeRepositories', instanceIds: [backup.instanceId] }, desired, signal)
  assert.deepEqual(records, [{ kind: 'finalizerDone', finalizer: 'backups' }])
  const left: string[] = []
  for await (const { key } of store.listObjects(bucket, 'lineages/', signal)) left.push(key)
  // The agent still runs and may have archived a segment meanwhile; in a deletion it is gone before.
  assert.ok(left.includes('lineages/other/kept') && left.every((key) => !key.includes('/backup/')), left.join())
})
