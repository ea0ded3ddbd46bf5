/** The rows of an upgrade: a second instance, the change of places, and its end. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Instance } from '../../src/domain/desired.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const order = { dryRun: false, move: {}, portRanges: provisioning.portRanges, networkPool: provisioning.networkPool }
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

test('places are changed back, and an upgrade after that takes the cluster that follows', async () => {
  const { id } = await rig.create('and-back', { tier: 'standard' })
  await rig.initialise(id)
  await assert.rejects(store.databases.orderRollback(id, { dryRun: false, move: {} }, actor), withCode('Conflict'))
  const { id: upgradeId } = await store.databases.orderUpgrade(id, order, actor)
  const before = await instancesOf(id)
  const [server, cluster] = [before.get('serving'), before.get('preparing')]
  assert.ok(server !== undefined && cluster !== undefined)
  const lease = await rig.lease(id)
  const up = { kind: 'placesChanged', fromId: server.id, toId: cluster.id, systemIdentifier: '7301', keptForMs } as const
  await store.records.apply(lease, [up])
  await assert.rejects(store.databases.orderRollback(id, { dryRun: false, move: {} }, actor), withCode('OperationInProgress'))
  await store.operations.finish(lease, upgradeId, 'succeeded', { message: 'it is done' })

  const { id: rollbackId } = await store.databases.orderRollback(id, { dryRun: false, move: { budgetMs: 700 } }, actor)
  const back = { ...up, fromId: cluster.id, toId: server.id }
  await store.records.apply(lease, [back])
  await store.records.apply(lease, [back])
  await store.operations.finish(lease, rollbackId, 'succeeded', { message: 'it is done' })
  const after = await instancesOf(id)
  assert.deepEqual([after.get('serving')?.id, after.get('preparing')?.id], [server.id, cluster.id])
  assert.equal(after.get('serving')?.repository.path, server.repository.path)
  assert.equal(after.get('serving')?.keptUntil, null)
  assert.ok(after.get('preparing')?.keptUntil instanceof Date)
  assert.equal((await store.databases.view(id)).topology, 'standalone')

  await assert.rejects(store.databases.patch(id, { tier: 'pro' }, actor), withCode('Conflict'))
  await store.databases.orderUpgrade(id, order, actor)
  assert.deepEqual([...(await instancesOf(id)).values()].map((instance) => instance.id).toSorted(), [server.id, cluster.id].toSorted(), 'no other one is made')
})

test('the way back is kept open for longer, or ended at once; not where there is none, and not for ever', async () => {
  const { id } = await rig.create('kept', { tier: 'standard' })
  await rig.initialise(id)
  const soon = new Date(Date.now() + 3_600_000)
  await assert.rejects(store.databases.patch(id, { rollbackUntil: soon }, actor), withCode('Conflict'))
  await store.databases.orderUpgrade(id, order, actor)
  const before = await instancesOf(id)
  const [server, cluster] = [before.get('serving'), before.get('preparing')]
  assert.ok(server !== undefined && cluster !== undefined)
  await assert.rejects(store.databases.patch(id, { rollbackUntil: soon }, actor), withCode('Conflict'))
  await store.records.apply(await rig.lease(id), [{ kind: 'placesChanged', fromId: server.id, toId: cluster.id, systemIdentifier: '7301', keptForMs }])
  await assert.rejects(store.databases.patch(id, { rollbackUntil: new Date(Date.now() + 8 * 24 * 3_600_000) }, actor), withCode('InvalidRequest'))
  const keptUntil = async (): Promise<number> => (await instancesOf(id)).get('rollbackTarget')?.keptUntil?.getTime() ?? 0
  const later = new Date(Date.now() + 48 * 3_600_000)
  const view = await store.databases.patch(id, { rollbackUntil: later }, actor)
  assert.equal(view.instances.find(({ role }) => role === 'rollbackTarget')?.keptUntil?.getTime(), later.getTime())
  await store.databases.patch(id, { rollbackUntil: new Date(0) }, actor)
  assert.ok(Math.abs((await keptUntil()) - Date.now()) < 60_000, 'not in the year 1970')
})
