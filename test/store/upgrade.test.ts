/** The rows of an upgrade: a second instance, the change of places, and its end. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Instance } from '../../src/domain/desired.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const order = { dryRun: false, budgetMs: null, portRanges: provisioning.portRanges, networkPool: provisioning.networkPool }
const keptForMs = 3_600_000

async function instancesOf(id: string): Promise<ReadonlyMap<string, Instance>> {
  const desired = await store.desired.load(id)
  return new Map((desired?.instances ?? []).map((instance) => [instance.role, instance]))
}

test('without the opt-in, or on a tier without clusters, nothing is begun; a dry run may be asked for all the same', async () => {
  const starter = await rig.create('small')
  await assert.rejects(store.databases.orderUpgrade(starter.id, order, actor), withCode('TierNotHa'))
  const { id } = await rig.create('plain', { tier: 'standard' })
  await assert.rejects(store.databases.orderUpgrade(id, order, actor), withCode('HaNotEnabled'))
  const dry = await store.databases.orderUpgrade(id, { ...order, dryRun: true }, actor)
  assert.deepEqual([dry.kind, dry.input], ['upgradeToHa', { dryRun: true }])
  assert.deepEqual([...(await instancesOf(id)).keys()], ['serving'])
})

test('the prepared instance gets places of its own, and only one is prepared at a time', async () => {
  await store.teams.setHa(rig.teamId, true, actor)
  const { id } = await rig.create('prepared', { tier: 'standard' })
  await store.databases.orderUpgrade(id, order, actor)
  const { members = [], kind } = (await instancesOf(id)).get('preparing') ?? {}
  assert.equal(kind, 'cluster')
  assert.equal(new Set(members.flatMap(({ ports }) => [ports.postgres, ports.backup, ports.patroni])).size, 9)
  await assert.rejects(store.databases.orderUpgrade(id, order, actor), withCode('Conflict'))
})

test('places are changed once: lineage, backups and topology go with them, and the former server is kept for its time', async () => {
  const { id } = await rig.create('moved', { tier: 'standard' })
  await rig.initialise(id)
  await store.databases.orderUpgrade(id, order, actor)
  const before = await instancesOf(id)
  const [from, to] = [before.get('serving'), before.get('preparing')]
  assert.ok(from !== undefined && to !== undefined)
  const lease = await rig.lease(id)
  await store.records.apply(lease, [{ kind: 'requestBackup', instanceId: from.id, backup: 'full', trigger: 'initial' }])
  const change = { kind: 'placesChanged', fromId: from.id, toId: to.id, systemIdentifier: '7301', keptForMs } as const
  await store.records.apply(lease, [change])
  await store.records.apply(lease, [change])
  const after = await instancesOf(id)
  const [serving, former] = [after.get('serving'), after.get('rollbackTarget')]
  assert.deepEqual([serving?.id, former?.id], [to.id, from.id])
  assert.equal(serving?.repository.path, from.repository.path)
  assert.equal(serving?.repository.cipher.reveal(), from.repository.cipher.reveal())
  assert.deepEqual([former?.repository.path, former?.repository.cipher.reveal()], [to.repository.path, to.repository.cipher.reveal()])
  assert.ok(former?.keptUntil instanceof Date && Math.abs(former.keptUntil.getTime() - Date.now() - keptForMs) < 60_000)
  assert.deepEqual((await store.backups.list(id)).map(({ instanceId }) => instanceId), [to.id])
  assert.equal((await store.databases.view(id)).topology, 'ha')
})

test('of a retired instance nothing is left, and its ports are free again; no other instance is ever removed', async () => {
  const { id } = await rig.create('given-up', { tier: 'standard' })
  await store.databases.orderUpgrade(id, order, actor)
  const target = (await instancesOf(id)).get('preparing')
  assert.ok(target !== undefined)
  const lease = await rig.lease(id)
  await store.records.apply(lease, [{ kind: 'instanceGone', instanceId: target.id }])
  assert.ok((await instancesOf(id)).has('preparing'), 'not retired')
  await store.records.apply(lease, [{ kind: 'instanceRole', instanceId: target.id, role: 'retired' }])
  await store.records.apply(lease, [{ kind: 'instanceGone', instanceId: target.id }])
  assert.deepEqual([...(await instancesOf(id)).keys()], ['serving'])
})

test('an upgrade can be cancelled until clients are moved', async () => {
  const { id } = await rig.create('cancelled', { tier: 'standard' })
  const { id: operationId } = await store.databases.orderUpgrade(id, order, actor)
  assert.deepEqual((await store.databases.cancelOperation(operationId, actor)).notes, { cancelRequested: true })
  const lease = await rig.lease(id)
  await store.operations.enter(lease, operationId, 'movingClients', { because: 'it follows closely' })
  await assert.rejects(store.databases.cancelOperation(operationId, actor), withCode('Conflict'))
  await store.operations.finish(lease, operationId, 'succeeded', { message: 'it is done' })
  await assert.rejects(store.databases.cancelOperation(operationId, actor), withCode('Conflict'))
})
