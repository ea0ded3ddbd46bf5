/** The rows of a downgrade: a server of its own where none follows, the change of places, and who may ask when. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Instance } from '../../src/domain/desired.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
await store.teams.setHa(rig.teamId, true, actor)
const order = { dryRun: false, move: {}, portRanges: provisioning.portRanges, networkPool: provisioning.networkPool }
const keptForMs = 3_600_000

async function instancesOf(id: string): Promise<ReadonlyMap<string, Instance>> {
  const desired = await store.desired.load(id)
  return new Map((desired?.instances ?? []).map((instance) => [instance.role, instance]))
}

async function clusterNamed(name: string): Promise<string> {
  const { id } = await rig.create(name, { tier: 'standard', topology: 'ha' })
  await rig.initialise(id)
  return id
}

test('is for clusters that are made, and a dry run makes nothing', async () => {
  const { id: one } = await rig.create('one', { tier: 'standard' })
  await assert.rejects(store.databases.orderDowngrade(one, order, actor), withCode('NotHighlyAvailable'))
  const { id: young } = await rig.create('young', { tier: 'standard', topology: 'ha' })
  await assert.rejects(store.databases.orderDowngrade(young, order, actor), withCode('DatabaseNotReady'))
  const id = await clusterNamed('dry')
  assert.deepEqual((await store.databases.orderDowngrade(id, { ...order, dryRun: true, move: { budgetMs: 700, window: 'readOnly' } }, actor)).input, { dryRun: true, budgetMs: 700, window: 'readOnly' })
  assert.deepEqual([...(await instancesOf(id)).keys()], ['serving'])
})

test('makes one server with places of its own, which changes places with the cluster once', async () => {
  const id = await clusterNamed('taken-back')
  const { id: operationId } = await store.databases.orderDowngrade(id, order, actor)
  const before = await instancesOf(id)
  const [cluster, server] = [before.get('serving'), before.get('rollbackTarget')]
  assert.ok(cluster !== undefined && server !== undefined)
  assert.deepEqual([server.kind, server.initialisedAt, server.keptUntil, server.cluster, server.members.length], ['standalone', null, null, null, 1])
  const ports = [...cluster.members, ...server.members].map((member) => member.ports.postgres)
  assert.equal(new Set(ports).size, 4)
  await assert.rejects(store.databases.orderDowngrade(id, order, actor), withCode('OperationInProgress'))
  await assert.rejects(store.databases.patch(id, { tier: 'pro' }, actor), withCode('OperationInProgress'))
  await assert.rejects(store.databases.patch(id, { rollbackUntil: new Date() }, actor), withCode('Conflict'))

  const lease = await rig.lease(id)
  await store.records.apply(lease, [{ kind: 'instanceInitialised', instanceId: server.id, systemIdentifier: '7301' }])
  const change = { kind: 'placesChanged', fromId: cluster.id, toId: server.id, systemIdentifier: '7301', keptForMs } as const
  for (let time = 0; time < 2; time++) await store.records.apply(lease, [change])
  await store.operations.finish(lease, operationId, 'succeeded', { message: 'it is done' })
  const after = await instancesOf(id)
  assert.deepEqual([after.get('serving')?.id, after.get('preparing')?.id], [server.id, cluster.id])
  assert.equal(after.get('serving')?.repository.path, cluster.repository.path)
  assert.ok(after.get('preparing')?.keptUntil instanceof Date)
  assert.equal((await store.databases.view(id)).topology, 'standalone')
})

test('takes the server that follows already, and makes none beside one that is on its way out', async () => {
  const id = await clusterNamed('reused')
  const { id: first } = await store.databases.orderDowngrade(id, order, actor)
  const before = await instancesOf(id)
  const [cluster, server] = [before.get('serving'), before.get('rollbackTarget')]
  assert.ok(cluster !== undefined && server !== undefined)
  const lease = await rig.lease(id)
  const back = { kind: 'placesChanged', fromId: cluster.id, toId: server.id, systemIdentifier: '7301', keptForMs } as const
  await store.records.apply(lease, [back, { ...back, fromId: server.id, toId: cluster.id }])
  await store.operations.finish(lease, first, 'succeeded', { message: 'it is done' })
  const { id: second } = await store.databases.orderDowngrade(id, order, actor)
  assert.equal((await instancesOf(id)).get('rollbackTarget')?.id, server.id)
  assert.equal((await instancesOf(id)).size, 2, 'no other one is made')

  await store.operations.finish(lease, second, 'cancelled', { message: 'it was cancelled' })
  await store.records.apply(lease, [{ kind: 'instanceRole', instanceId: server.id, role: 'retired' }])
  await assert.rejects(store.databases.orderDowngrade(id, order, actor), withCode('Conflict'))
})

test('can be cancelled while it copies, and not while clients are moved; nor can the database be deleted or paused then', async () => {
  const id = await clusterNamed('cancelled')
  const { id: operationId } = await store.databases.orderDowngrade(id, order, actor)
  const lease = await rig.lease(id)
  await store.operations.enter(lease, operationId, 'copying', { because: 'nothing stands in its way' })
  assert.deepEqual((await store.databases.cancelOperation(operationId, actor)).notes, { cancelRequested: true })
  await store.operations.enter(lease, operationId, 'movingClients', { because: 'it follows closely' })
  await assert.rejects(store.databases.cancelOperation(operationId, actor), withCode('Conflict'))
  await assert.rejects(store.databases.requestDeletion(id, { confirmName: 'cancelled', finalBackup: false, keepBackupsDays: 0 }, actor), withCode('OperationInProgress'))
  await assert.rejects(store.databases.patch(id, { paused: true }, actor), withCode('OperationInProgress'))
})
