/** The rows of a rehearsal: a copy that is a database of its own, its upgrade, and its end. Everything may be written twice. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Backup, Rehearsal } from '../../src/domain/desired.ts'
import { createStore, type Lease } from '../../src/store/store.ts'
import type { DatabaseView } from '../../src/store/views.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const store = createStore({ pool: rig.pool, keyring: rig.keyring, provisioning })
await store.teams.setHa(rig.teamId, true, actor)
const order = { budgetMs: 700 }

async function rehearsalOf(id: string): Promise<Rehearsal | null> {
  return (await store.desired.load(id))?.rehearsal ?? null
}

/** Ready to be copied: it has a backup that was read back. */
async function backedUp(name: string): Promise<DatabaseView> {
  const view = await rig.create(name, { tier: 'standard', allowList: ['10.0.0.0/8'] })
  const instanceId = await rig.initialise(view.id)
  const lease = await rig.lease(view.id)
  await store.records.apply(lease, [{ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' }])
  const [backup] = await store.backups.list(view.id)
  const state = (to: Backup['state']): Promise<void> =>
    store.records.apply(lease, [{ kind: 'backupState', backupId: backup?.id ?? '', state: to, facts: { label: '20261122-010203F', stopLsn: '0/3000100', databaseBytes: 24_000_000, repositoryBytes: 3_000_000, objectCount: 900 } }])
  for (const to of ['running', 'verifying', 'verified'] as const) await state(to)
  await store.queue.release(lease, { dueInMs: 0 })
  return view
}

async function begin(id: string): Promise<{ readonly lease: Lease; readonly operationId: string }> {
  const { id: operationId } = await store.databases.orderRehearsal(id, order, actor)
  return { lease: await rig.lease(id), operationId }
}

/** As the copy's own passes end it. */
async function endRestoreOf(copyId: string): Promise<void> {
  const lease = await rig.lease(copyId, 'other')
  const { operation, instances: [instance] } = await store.databases.view(copyId)
  await store.records.apply(lease, [{ kind: 'instanceRole', instanceId: instance?.id ?? '', role: 'serving' }])
  await store.operations.finish(lease, operation?.id ?? '', 'succeeded', { message: 'it is done' })
  await store.queue.release(lease, { dueInMs: 0 })
}

test('it is asked for as an upgrade is: with the opt-in, on a tier with clusters, of one server, one at a time', async () => {
  const starter = await rig.create('small')
  await assert.rejects(store.databases.orderRehearsal(starter.id, order, actor), withCode('TierNotHa'))
  const ha = await rig.create('whole', { tier: 'standard', topology: 'ha' })
  await assert.rejects(store.databases.orderRehearsal(ha.id, order, actor), withCode('Conflict'))
  const { id } = await rig.create('twice', { tier: 'standard' })
  const begun = await store.databases.orderRehearsal(id, order, actor)
  assert.deepEqual([begun.kind, begun.input], ['rehearseUpgrade', { budgetMs: 700 }])
  await assert.rejects(store.databases.orderRehearsal(id, order, actor), withCode('OperationInProgress'))
  await assert.rejects(store.databases.startOperation(id, { kind: 'takeOverEndpoint', input: {} }, actor), withCode('OperationInProgress'))
  assert.equal(await rehearsalOf(id), null)
})

test('the copy is made once: like its source, reached by nobody from outside, and known for what it is', async () => {
  const source = await backedUp('orders')
  const { lease, operationId } = await begin(source.id)
  const make = { kind: 'rehearsalMade', operationId } as const
  await store.records.apply(lease, [make])
  await store.records.apply(lease, [make])
  const copy = await rehearsalOf(source.id)
  assert.ok(copy !== null)
  assert.equal(copy.name, `orders-rehearsal-${operationId.slice(0, 4)}`)
  assert.deepEqual([copy.operation?.kind, copy.isDeleting, copy.leavesNothing], ['restore', false, false])
  const view = await store.databases.view(copy.databaseId)
  assert.deepEqual([view.rehearsalOf, view.tier, view.storageBytes, view.topology, view.allowList], [source.id, 'standard', source.storageBytes, 'standalone', []])
  assert.equal(await rig.count('databases', `rehearsal_of = '${source.id}'`), 1)
  const { notes } = await store.operations.get(operationId)
  assert.deepEqual(notes, { copyId: copy.databaseId, measured: { backup: '20261122-010203F', databaseBytes: 24_000_000 } })
  await assert.rejects(store.databases.orderRehearsal(copy.databaseId, order, actor), withCode('Conflict'), 'a copy is not rehearsed on')
})

test('a long name makes room for what the copy is', async () => {
  const name = `a${'b'.repeat(39)}`
  const { id } = await backedUp(name)
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  assert.match((await rehearsalOf(id))?.name ?? '', /^ab{24}-rehearsal-[0-9a-f]{4}$/)
})

test('what stands in the way of the copy is noted, and nothing of it stays', async () => {
  const { id } = await rig.create('never-saved', { tier: 'standard' })
  const { lease, operationId } = await begin(id)
  const before = await rig.count('ports')
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  assert.match(JSON.stringify((await store.operations.get(operationId)).notes), /"refused":\{"code":"BackupNotUsable"/)
  assert.deepEqual([await rehearsalOf(id), await rig.count('ports')], [null, before])

  // its members have ports, and the endpoint finds none
  const crowded = createStore({ pool: rig.pool, keyring: rig.keyring, provisioning: { ...provisioning, portRanges: { ...provisioning.portRanges, public: { from: 20_000, to: 20_000 } } } })
  const full = await backedUp('crowded')
  const begun = await begin(full.id)
  const taken = await rig.count('ports')
  await crowded.records.apply(begun.lease, [{ kind: 'rehearsalMade', operationId: begun.operationId }, { kind: 'event', note: { severity: 'info', reason: 'Looked', message: 'the rest of the pass is written' } }])
  assert.match(JSON.stringify((await store.operations.get(begun.operationId)).notes), /"refused":\{"code":"PortsExhausted"/)
  assert.deepEqual([await rehearsalOf(full.id), await rig.count('ports')], [null, taken])
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: full.id })).at(-1)?.reason, 'Looked')
})

test('the upgrade of the copy is ordered once, when its restore has ended', async () => {
  const { id } = await backedUp('upgraded')
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  const { databaseId: copyId = '' } = (await rehearsalOf(id)) ?? {}
  const upgrade = { kind: 'rehearsalUpgradeOrdered', operationId, input: { dryRun: false, budgetMs: 700 } } as const
  await store.records.apply(lease, [upgrade])
  assert.equal((await rehearsalOf(id))?.operation?.kind, 'restore', 'another operation goes first')
  await endRestoreOf(copyId)
  await store.records.apply(lease, [upgrade])
  await store.records.apply(lease, [upgrade])
  const { operation, instances } = await store.databases.view(copyId)
  assert.deepEqual([operation?.kind, operation?.input, operation?.outcome], ['upgradeToHa', { dryRun: false, budgetMs: 700 }, null])
  assert.deepEqual(instances.map(({ role, members }) => [role, members.length]), [['serving', 1], ['preparing', 3]])
  assert.match(JSON.stringify((await store.operations.get(operationId)).notes), new RegExp(`"upgradeId":"${operation?.id ?? ''}"`))
})

test('without the opt-in by then the upgrade of the copy is refused, and that is noted', async () => {
  const { id } = await backedUp('changed')
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  await endRestoreOf((await rehearsalOf(id))?.databaseId ?? '')
  await store.teams.setHa(rig.teamId, false, actor)
  await store.records.apply(lease, [{ kind: 'rehearsalUpgradeOrdered', operationId, input: {} }])
  await store.teams.setHa(rig.teamId, true, actor)
  assert.match(JSON.stringify((await store.operations.get(operationId)).notes), /"refused":\{"code":"HaNotEnabled"/)
})

test('the copy goes with its backups, also when somebody paused it or wanted to keep them; not while its clients are moved', async () => {
  const { id } = await backedUp('removed')
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  const { databaseId: copyId = '', name = '' } = (await rehearsalOf(id)) ?? {}
  await endRestoreOf(copyId)
  await store.records.apply(lease, [{ kind: 'rehearsalUpgradeOrdered', operationId, input: {} }])
  const held = await rig.lease(copyId, 'other')
  const { operation } = await store.databases.view(copyId)
  await store.operations.enter(held, operation?.id ?? '', 'movingClients', { because: 'it follows closely' })
  await store.records.apply(lease, [{ kind: 'rehearsalRemoved' }])
  assert.equal((await rehearsalOf(id))?.isDeleting, false)
  await assert.rejects(store.databases.requestDeletion(id, { confirmName: 'removed', finalBackup: false, keepBackupsDays: 0 }, actor), withCode('OperationInProgress'))
  await store.operations.enter(held, operation?.id ?? '', 'awaitingReplicas', { because: 'clients were moved' })
  await store.queue.release(held, { dueInMs: 0 })

  await store.databases.requestDeletion(copyId, { confirmName: name, finalBackup: true, keepBackupsDays: 7 }, actor)
  assert.deepEqual([(await rehearsalOf(id))?.isDeleting, (await rehearsalOf(id))?.leavesNothing], [true, false])
  for (const _ of [1, 2]) await store.records.apply(lease, [{ kind: 'rehearsalRemoved' }])
  assert.equal((await rehearsalOf(id))?.leavesNothing, true)
  const { deletion, operation: ended, generation } = await store.databases.view(copyId)
  assert.deepEqual([deletion?.finalBackup, ended?.outcome], [false, 'cancelled'])
  await store.records.apply(lease, [{ kind: 'rehearsalRemoved' }])
  assert.equal((await store.databases.view(copyId)).generation, generation, 'asked again it changes nothing')
})

test('while the copy of the last one is there, there is no other rehearsal', async () => {
  const { id } = await backedUp('slow')
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  await store.operations.finish(lease, operationId, 'succeeded', { message: 'its host is away' })
  await assert.rejects(store.databases.orderRehearsal(id, order, actor), withCode('Conflict'))
})

test('whoever deletes the database deletes the copy with it', async () => {
  const { id } = await backedUp('leaving')
  const { lease, operationId } = await begin(id)
  await store.records.apply(lease, [{ kind: 'rehearsalMade', operationId }])
  await store.queue.release(lease, { dueInMs: 0 })
  const { databaseId: copyId = '' } = (await rehearsalOf(id)) ?? {}
  await store.databases.requestDeletion(id, { confirmName: 'leaving', finalBackup: true, keepBackupsDays: 7 }, actor)
  assert.deepEqual([(await rehearsalOf(id))?.leavesNothing, (await store.operations.get(operationId)).outcome], [true, 'cancelled'])
  const { deletion, operation } = await store.databases.view(copyId)
  assert.deepEqual([deletion?.finalBackup, operation?.kind, operation?.outcome], [false, 'restore', 'cancelled'])
})

test('it can be cancelled until its copy is being removed', async () => {
  const { id } = await rig.create('cancelled', { tier: 'standard' })
  const { lease, operationId } = await begin(id)
  for (const phase of ['preflight', 'restoring', 'awaitingBackup', 'upgrading']) {
    await store.operations.enter(lease, operationId, phase, { because: 'it goes on' })
    assert.deepEqual((await store.databases.cancelOperation(operationId, actor)).notes, { cancelRequested: true })
  }
  await store.operations.enter(lease, operationId, 'removing', { because: 'it was cancelled' })
  await assert.rejects(store.databases.cancelOperation(operationId, actor), withCode('Conflict'))
})
