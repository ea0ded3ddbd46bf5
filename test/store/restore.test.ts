import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { actor, provisioning, startRig, withCode, type Rig } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig

interface Source {
  readonly id: string
  readonly instanceId: string
  readonly backupId: string
}

const request = (source: Source, name: string, changed = {}) => ({ ...provisioning, projectId: rig.projectId, name, sourceDatabaseId: source.id, ...changed })

/** With one verified backup, which ended at `ended`. */
async function source(name: string, ended = '2026-03-01T12:00:00Z', from: Rig = rig): Promise<Source> {
  const { id } = await from.create(name)
  const instanceId = await from.initialise(id)
  return { id, instanceId, backupId: await addBackup(id, instanceId, 'label-1', ended, from) }
}

async function addBackup(id: string, instanceId: string, label: string, ended: string, from: Rig = rig): Promise<string> {
  const lease = await from.lease(id)
  await from.store.records.apply(lease, [{ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'scheduled' }])
  const backupId = (await from.store.backups.list(id, ['requested']))[0]?.id ?? ''
  await from.store.records.apply(lease, [
    { kind: 'backupState', backupId, state: 'verifying', facts: { label } },
    { kind: 'backupState', backupId, state: 'verified', facts: { repositoryBytes: 1_000 } },
  ])
  await from.pool.query(`update backups set finished_at = $2 where id = $1`, [backupId, ended])
  await from.store.queue.release(lease, { dueInMs: 0 })
  return backupId
}

test('a restored database has rows of its own, the source’s role and password, and an operation', async () => {
  const from = await source('orders')
  const { database, operation } = await store.databases.createRestored(request(from, 'orders-restored'), actor)
  assert.deepEqual([operation.kind, operation.phase], ['restore', 'beginning'])
  assert.deepEqual(operation.input, { databaseId: from.id, instanceId: from.instanceId, label: 'label-1', targetTime: null })
  const [old, restored] = [await store.desired.load(from.id), await store.desired.load(database.id)]
  assert.ok(old !== null && restored !== null)
  assert.deepEqual([restored.instances[0]?.role, restored.database.databaseName], ['restoring', 'orders'])
  assert.notEqual(restored.instances[0]?.repository.path, old.instances[0]?.repository.path)
  assert.notEqual(restored.instances[0]?.repository.cipher.reveal(), old.instances[0]?.repository.cipher.reveal())
  const shown = ({ credentials }: typeof restored) => credentials.map(({ roleName, password, verifier }) => [roleName, password.reveal(), verifier.reveal()])
  assert.deepEqual(shown(restored), shown(old))
  assert.notEqual(restored.endpoint?.id, old.endpoint?.id)
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: database.id }))[0]?.reason, 'RestoreRequested')
})

test('the executor finds where the source’s backups lie', async () => {
  const from = await source('found')
  const repository = await store.backups.repositoryOf(from.instanceId)
  assert.equal(repository.path, `/lineages/${from.instanceId}`)
  assert.equal(repository.cipher.reveal(), (await store.desired.load(from.id))?.instances[0]?.repository.cipher.reveal())
})

test('a restore that was ordered before its source was moved finds the backups where they are then', async () => {
  await store.teams.setHa(rig.teamId, true, actor)
  const { id } = await rig.create('moves', { tier: 'standard' })
  const instanceId = await rig.initialise(id)
  const from = { id, instanceId, backupId: await addBackup(id, instanceId, 'label-1', '2026-03-01T12:00:00Z') }
  const { operation } = await store.databases.createRestored(request(from, 'moves-restored'), actor)
  await store.databases.orderUpgrade(id, { dryRun: false, move: {}, portRanges: provisioning.portRanges, networkPool: provisioning.networkPool }, actor)
  const target = (await store.desired.load(id))?.instances.find(({ role }) => role === 'preparing')
  assert.ok(target !== undefined)
  const { path } = await store.backups.repositoryOf(instanceId)
  await store.records.apply(await rig.lease(id), [{ kind: 'placesChanged', fromId: instanceId, toId: target.id, systemIdentifier: '7301', keptForMs: 1_000 }])
  assert.deepEqual((await store.operations.get(operation.id)).input, { ...operation.input as object, instanceId: target.id })
  assert.equal((await store.backups.repositoryOf(target.id)).path, path)
})

test('a time is restored from the newest backup that had ended by then', async () => {
  const from = await source('timed', '2026-03-01T12:00:00Z')
  await addBackup(from.id, from.instanceId, 'label-2', '2026-03-02T12:00:00Z')
  const labelAt = async (targetTime?: string): Promise<string> =>
    (await store.backups.restoreSource(from.id, targetTime === undefined ? {} : { targetTime: new Date(targetTime) })).label
  assert.equal(await labelAt(), 'label-2')
  assert.equal(await labelAt('2026-03-01T18:00:00Z'), 'label-1')
  assert.equal(await labelAt('2026-03-02T18:00:00Z'), 'label-2')
  await assert.rejects(labelAt('2026-03-01T11:59:59Z'), withCode('RestorePointOutOfRange'))
  await assert.rejects(labelAt('2099-01-01T00:00:00Z'), withCode('RestorePointOutOfRange'))
  const chosen = { backupId: from.backupId, targetTime: new Date('2026-03-02T18:00:00Z') }
  assert.deepEqual(await store.backups.restoreSource(from.id, chosen), {
    databaseId: from.id, instanceId: from.instanceId, label: 'label-1', targetTime: '2026-03-02T18:00:00.000Z',
  })
})

test('only backups that were read back are restored, and only those of the source', async () => {
  const from = await source('strict')
  const other = await source('strict-other')
  await assert.rejects(store.databases.createRestored(request(from, 'r1', { backupId: other.backupId }), actor), withCode('NotFound'))
  await rig.pool.query(`update backups set state = 'expired' where id = $1`, [from.backupId])
  await assert.rejects(store.databases.createRestored(request(from, 'r2', { backupId: from.backupId }), actor), withCode('BackupNotUsable'))
  await assert.rejects(store.databases.createRestored(request(from, 'r3'), actor), withCode('BackupNotUsable'))
  assert.equal(await rig.count('databases', `name in ('r1', 'r2', 'r3')`), 0)
})

test('a restored database is at least as large as its source', async () => {
  const from = await source('large')
  await assert.rejects(store.databases.createRestored(request(from, 'smaller', { storageBytes: 100 * 1024 * 1024 }), actor), withCode('StorageCannotShrink'))
})

test('another team’s database is not there', async () => {
  const from = await source('ours')
  const { id: teamId } = await store.teams.create({ name: 'blue' }, actor)
  const { id: projectId } = await store.projects.create({ teamId, name: 'theirs' }, actor)
  await assert.rejects(store.databases.createRestored(request(from, 'stolen', { projectId }), actor), withCode('NotFound'))
})

test('a deleted database is restored while its backups are kept, and they are kept for the restore', async (t) => {
  const fresh = await startRig(t)
  const from = await source('deleted', '2026-03-01T12:00:00Z', fresh)
  await fresh.store.databases.requestDeletion(from.id, { confirmName: 'deleted', finalBackup: false, keepBackupsDays: 0 }, actor)
  const again = { ...provisioning, projectId: fresh.projectId, name: 'again', sourceDatabaseId: from.id }
  await assert.rejects(fresh.store.databases.createRestored(again, actor), withCode('BackupNotUsable'))
  await fresh.pool.query(`update databases set backups_kept_until = now() + interval '1 minute' where id = $1`, [from.id])
  await fresh.store.records.apply(await fresh.lease(from.id), (['finalBackup', 'containers', 'volumes'] as const).map((finalizer) => ({ kind: 'finalizerDone', finalizer })))
  await fresh.store.databases.createRestored(again, actor)
  const kept = (await fresh.store.databases.view(from.id)).deletion?.backupsKeptUntil?.getTime() ?? 0
  assert.ok(kept > Date.now() + 23 * 3_600_000)
})

test('deleting a database that is being restored cancels the restore', async () => {
  const from = await source('given-up')
  const { database, operation } = await store.databases.createRestored(request(from, 'half'), actor)
  await store.databases.requestDeletion(database.id, { confirmName: 'half', finalBackup: false, keepBackupsDays: 0 }, actor)
  assert.equal((await store.operations.get(operation.id)).outcome, 'cancelled')
})
