import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Finalizer } from '../../src/domain/desired.ts'
import { actor, startRig, withCode } from './rig.ts'
import { importAuthority, keyPairOf } from './certificateRig.ts'

const rig = await startRig({ after })
const { store } = rig
const request = (confirmName: string) => ({ confirmName, finalBackup: true, keepBackupsDays: 7 })

test('a deletion has to be confirmed with the name', async () => {
  const { id } = await rig.create('kept')
  await assert.rejects(store.databases.requestDeletion(id, request('other'), actor), withCode('ConfirmationRequired'))
  assert.equal((await store.databases.view(id)).deletion, null)
})

test('a deletion that was asked for changes the spec once, and what is still open may be asked for anew', async () => {
  const { id } = await rig.create('leaving')
  const first = await store.databases.requestDeletion(id, request('leaving'), actor)
  assert.deepEqual([first.generation, first.deletion?.finalBackup, first.deletion?.finalizers], [2, true, ['finalBackup', 'containers', 'volumes', 'backups']])
  const keptMs = (first.deletion?.backupsKeptUntil?.getTime() ?? 0) - (first.deletion?.requestedAt.getTime() ?? 0)
  assert.equal(keptMs, 7 * 86_400_000)
  const again = await store.databases.requestDeletion(id, { ...request('leaving'), finalBackup: false }, actor)
  assert.deepEqual([again.deletion?.requestedAt, again.deletion?.finalBackup], [first.deletion?.requestedAt, false])
})

test('what is being deleted takes no changes', async () => {
  const { id } = await rig.create('frozen')
  await rig.initialise(id)
  await store.databases.requestDeletion(id, request('frozen'), actor)
  await assert.rejects(store.databases.patch(id, { tier: 'pro' }, actor), withCode('DatabaseDeleting'))
  await assert.rejects(store.databases.rotateCredential(id, { overlapSeconds: 1 }, actor), withCode('DatabaseDeleting'))
  await assert.rejects(store.databases.startOperation(id, { kind: 'takeOverEndpoint', input: {} }, actor), withCode('DatabaseDeleting'))
  assert.equal((await store.databases.requestBackup(id, 'full', actor)).created, true, 'a last backup may be asked for again')
  await store.records.apply(await rig.lease(id), [{ kind: 'finalizerDone', finalizer: 'finalBackup' }])
  await assert.rejects(store.databases.requestBackup(id, 'full', actor), withCode('DatabaseDeleting'))
})

test('a paused database is not deleted, and neither is one whose endpoint is being taken over', async () => {
  const paused = await rig.create('paused')
  await store.databases.patch(paused.id, { paused: true }, actor)
  await assert.rejects(store.databases.requestDeletion(paused.id, request('paused'), actor), withCode('DatabasePaused'))
  const busy = await rig.create('busy')
  await store.databases.startOperation(busy.id, { kind: 'takeOverEndpoint', input: {} }, actor)
  await assert.rejects(store.databases.requestDeletion(busy.id, request('busy'), actor), withCode('OperationInProgress'))
})

test('rows go in the order in which the things go, and the last finalizer leaves nothing', async (t) => {
  const fresh = await startRig(t)
  const { store: own } = fresh
  const authorityId = await importAuthority(own)
  const database = await fresh.create('going')
  const instanceId = await fresh.initialise(database.id)
  const lease = await fresh.lease(database.id)
  const done = (finalizer: Finalizer): Promise<void> => own.records.apply(lease, [{ kind: 'finalizerDone', finalizer }, { kind: 'event', note: { severity: 'info', reason: 'Gone', message: finalizer } }])
  const keyPair = keyPairOf(authorityId, 'x')
  const memberId = database.instances[0]?.members[0]?.id ?? ''
  await own.records.apply(lease, [{ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'final' }], [{ purpose: 'member', ownerId: memberId, keyPair }])
  await own.databases.requestDeletion(database.id, request('going'), actor)

  await done('finalBackup')
  await done('containers')
  await done('containers')
  assert.equal((await own.databases.view(database.id)).endpoint?.id, database.endpoint?.id)
  await assert.rejects(fresh.create('going'), withCode('NameTaken'))

  await done('volumes')
  const removed = await own.databases.view(database.id)
  assert.ok(removed.deletion?.removedAt !== null)
  assert.deepEqual([removed.endpoint, removed.instances[0]?.members, removed.deletion?.finalizers], [null, [], ['backups']])
  for (const table of ['ports', 'members', 'endpoints', 'endpoint_proxies', 'certificates', 'project_networks']) assert.equal(await fresh.count(table), 0, table)
  assert.equal(await fresh.count('backups'), 1)
  assert.deepEqual(await own.databases.list({}), { items: [], nextCursor: null })
  assert.equal((await own.databases.list({ includeRemoved: true })).items.length, 1)
  await fresh.create('going')

  await done('backups')
  await assert.rejects(own.databases.view(database.id), withCode('NotFound'))
  for (const table of ['databases', 'instances', 'credentials', 'work_items']) assert.equal(await fresh.count(table), 1, `${table} of the new database only`)
  assert.equal(await fresh.count('backups'), 0)
  assert.equal((await own.events.list({ teamId: fresh.teamId, databaseId: database.id })).at(-1)?.message, 'backups')
  await own.queue.release(lease, { dueInMs: 0 })
})

test('a finalizer of a database that nobody wants to delete does nothing', async () => {
  const { id } = await rig.create('staying')
  await store.records.apply(await rig.lease(id), [{ kind: 'finalizerDone', finalizer: 'volumes' }])
  const view = await store.databases.view(id)
  assert.ok(view.endpoint !== null && view.deletion === null)
})

test('the network of a project goes with its last database, and not before', async () => {
  const { id: projectId } = await store.projects.create({ teamId: rig.teamId, name: 'pair' }, actor)
  const [first, second] = [await rig.create('first', { projectId }), await rig.create('second', { projectId })]
  assert.equal((await store.desired.load(first.id))?.lastOfProject, false)
  await remove(first.id, 'first')
  assert.equal((await store.projects.get(projectId)).networks.length, 1)
  assert.equal((await store.desired.load(second.id))?.lastOfProject, true)
  await remove(second.id, 'second')
  assert.equal((await store.projects.get(projectId)).networks.length, 0)
})

test('of two last databases that end at once, the one that ends last takes the network with it', async () => {
  const { id: projectId } = await store.projects.create({ teamId: rig.teamId, name: 'twins' }, actor)
  const twins = [await rig.create('one', { projectId }), await rig.create('other', { projectId })]
  // each saw the other one still there, so neither removed the network from its host
  for (const { id, name } of twins) {
    await store.databases.requestDeletion(id, request(name), actor)
    const lease = await rig.lease(id)
    await store.records.apply(lease, (['finalBackup', 'containers'] as const).map((finalizer) => ({ kind: 'finalizerDone', finalizer })))
    await store.records.apply(lease, [{ kind: 'finalizerDone', finalizer: 'volumes', networksStay: true }])
  }
  const [first, last] = await Promise.all(twins.map(({ id }) => store.desired.load(id)))
  assert.deepEqual(first?.database.finalizers, ['backups'])
  assert.deepEqual([last?.database.finalizers, last?.lastOfProject, last?.networks.length], [['volumes', 'backups'], true, 1])
})

test('backups are due to be purged when their time is over', async () => {
  const { id } = await rig.create('expiring')
  await remove(id, 'expiring')
  const due = async (): Promise<boolean> => (await store.backups.dueForPurge()).some(({ databaseId }) => databaseId === id)
  assert.equal(await due(), false)
  await rig.pool.query(`update databases set backups_kept_until = now() - interval '1 second' where id = $1`, [id])
  assert.equal(await due(), true)
})

async function remove(id: string, name: string): Promise<void> {
  await store.databases.requestDeletion(id, request(name), actor)
  const lease = await rig.lease(id)
  await store.records.apply(lease, (['finalBackup', 'containers', 'volumes'] as const).map((finalizer) => ({ kind: 'finalizerDone', finalizer })))
}
