import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { StoreRecord } from '../../src/domain/action.ts'
import type { Backup } from '../../src/domain/desired.ts'
import type { Lease } from '../../src/store/store.ts'
import { startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig

async function leased(name: string): Promise<{ id: string; instanceId: string; lease: Lease; write: (...records: StoreRecord[]) => Promise<void> }> {
  const { id } = await rig.create(name)
  const instanceId = await rig.initialise(id)
  const lease = await rig.lease(id)
  return { id, instanceId, lease, write: (...records) => store.records.apply(lease, records) }
}

async function onlyBackup(databaseId: string): Promise<Backup> {
  const [backup] = await store.backups.list(databaseId)
  assert.ok(backup !== undefined)
  return backup
}

test('an instance keeps the identity it was first seen with', async () => {
  const { id, instanceId, write } = await leased('identity')
  const before = (await store.desired.load(id))?.instances[0]
  assert.equal(before?.systemIdentifier, '7301')
  await write({ kind: 'instanceInitialised', instanceId, systemIdentifier: '7301' })
  assert.deepEqual((await store.desired.load(id))?.instances[0]?.initialisedAt, before.initialisedAt)
  await assert.rejects(write({ kind: 'instanceInitialised', instanceId, systemIdentifier: '9999' }), withCode('ResourceConflict'))
})

test('all records of a pass are written, or none', async () => {
  const { id, instanceId, write } = await leased('atomic')
  await assert.rejects(
    write({ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' }, { kind: 'instanceInitialised', instanceId, systemIdentifier: '9999' }),
    withCode('ResourceConflict'),
  )
  assert.deepEqual(await store.backups.list(id), [])
})

test('a backup goes from requested to verified, with its times and sizes', async () => {
  const { id, instanceId, write } = await leased('backed-up')
  await write({ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' }, { kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' })
  const { id: backupId } = await onlyBackup(id)
  const to = (state: Backup['state'], facts = {}): Promise<void> => write({ kind: 'backupState', backupId, state, facts })
  await to('running')
  await to('running')
  const running = await onlyBackup(id)
  assert.ok(running.startedAt !== null && running.finishedAt === null)
  await to('verifying', { label: '20260101-000000F', stopLsn: '0/5000000', databaseBytes: 30_000_000_000 })
  await to('verified', { repositoryBytes: 4_000_000, objectCount: 12 })
  const verified = await onlyBackup(id)
  assert.deepEqual(
    [verified.state, verified.label, verified.stopLsn, verified.databaseBytes, verified.repositoryBytes, verified.objectCount],
    ['verified', '20260101-000000F', '0/5000000', 30_000_000_000, 4_000_000, 12],
  )
  assert.deepEqual(verified.startedAt, running.startedAt)
  assert.ok(verified.finishedAt !== null && verified.verifiedAt !== null)
  await to('running')
  assert.equal((await onlyBackup(id)).state, 'verified', 'what has ended stays ended')
  await to('expired')
  assert.equal((await onlyBackup(id)).state, 'expired')
})

test('a backup is not verified without having been read back', async () => {
  const { id, instanceId, write } = await leased('unread')
  await write({ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' })
  const { id: backupId } = await onlyBackup(id)
  await assert.rejects(write({ kind: 'backupState', backupId, state: 'verified' }), withCode('Internal'))
})

test('another attempt begins under the next number and remembers the failure until it succeeds', async () => {
  const { id, instanceId, write } = await leased('attempts')
  await write({ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' })
  const { id: backupId } = await onlyBackup(id)
  await write({ kind: 'backupState', backupId, state: 'running' })
  const failure = { code: 'JobFailed', message: 'no space' }
  await write({ kind: 'backupState', backupId, state: 'requested', facts: { failure, nextAttempt: true } })
  const again = await onlyBackup(id)
  assert.deepEqual([again.state, again.attempt, again.failure, again.startedAt], ['requested', 2, failure, null])
  assert.ok(again.finishedAt !== null, 'the rest before the next attempt is counted from here')
  await write({ kind: 'backupState', backupId, state: 'failed', facts: { failure } })
  assert.equal((await onlyBackup(id)).state, 'failed')
  await write({ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'scheduled' })
  assert.equal((await store.backups.list(id)).length, 2)
})

test('records about another database change nothing there', async () => {
  const mine = await leased('mine')
  const other = await leased('other')
  await mine.write({ kind: 'instanceRole', instanceId: other.instanceId, role: 'retired' }, { kind: 'requestBackup', instanceId: other.instanceId, backup: 'full', trigger: 'initial' })
  const desired = await store.desired.load(other.id)
  assert.equal(desired?.instances[0]?.role, 'serving')
  assert.deepEqual(desired.backups, [])
})

test('one instance serves: the schema refuses a second one', async () => {
  const { id } = await leased('single')
  await assert.rejects(
    rig.pool.query(
      `insert into instances (id, database_id, kind, role, repository_path, repository_cipher, dcs_password) values (gen_random_uuid(), $1, 'cluster', 'serving', '/x', 'x', 'x')`,
      [id],
    ),
    { code: '23505' },
  )
})

test('the size of a volume is remembered', async () => {
  const { id, write } = await leased('sized')
  const memberId = (await store.desired.load(id))?.instances[0]?.members[0]?.id ?? ''
  assert.equal((await store.desired.load(id))?.instances[0]?.members[0]?.volumeBytes, null)
  await write({ kind: 'volumeSized', memberId, bytes: 5_368_709_120 })
  assert.equal((await store.desired.load(id))?.instances[0]?.members[0]?.volumeBytes, 5_368_709_120)
})

test('the old password of a rotation ends; the current one cannot be ended', async () => {
  const { id, write } = await leased('ending')
  const { id: currentId } = await store.databases.rotateCredential(id, { overlapSeconds: 0 }, { tokenId: null, name: 'x', requestId: 'x' })
  const old = (await store.desired.load(id))?.credentials.find((credential) => credential.id !== currentId)
  await write({ kind: 'credentialSeen', credentialId: old?.id ?? '' }, { kind: 'credentialEnded', credentialId: old?.id ?? '' }, { kind: 'credentialEnded', credentialId: currentId })
  const [current, ended] = (await store.databases.view(id)).credentials
  assert.deepEqual([current?.endedAt, ended?.endedAt !== null, ended?.lastSeenAt !== null], [null, true, true])
})

test('a pass without records asks nothing of the control database', async () => {
  const { lease } = await leased('idle')
  await store.records.apply({ ...lease, epoch: lease.epoch + 5 }, [])
})
