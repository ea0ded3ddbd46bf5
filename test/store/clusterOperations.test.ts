/** What may be asked of a cluster, and of which member. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { MemberStatus } from '../../src/store/views.ts'
import { actor, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
await store.teams.setHa(rig.teamId, true, actor)

/** Its member 1 leads, as the last pass saw it. */
async function cluster(name: string): Promise<{ readonly id: string; readonly members: readonly string[] }> {
  const { id, instances } = await rig.create(name, { tier: 'standard', topology: 'ha' })
  await rig.initialise(id)
  const members = instances[0]?.members.map((member) => member.id) ?? []
  await store.queue.release(await rig.lease(id), { dueInMs: 0, members: new Map(members.map((memberId, index) => [memberId, seen(index === 0)])) })
  return { id, members }
}

function seen(leads: boolean): MemberStatus {
  return { role: leads ? 'leader' : 'replica', containerId: 'c', timeline: 1, lagBytes: 0, syncState: leads ? null : 'sync', patroniState: 'running' }
}

async function finish(id: string): Promise<void> {
  const lease = await rig.lease(id)
  const operation = (await store.databases.view(id)).operation
  await store.operations.finish(lease, operation?.id ?? '', 'succeeded', { message: 'it is done' })
  await store.queue.release(lease, { dueInMs: 0 })
}

test('what a pass saw of the members is shown', async () => {
  const { id } = await cluster('shown')
  const shown = (await store.databases.view(id)).instances[0]?.members.map(({ name, role, syncState, patroniState }) => [name, role, syncState, patroniState])
  assert.deepEqual(shown, [['member-1', 'leader', null, 'running'], ['member-2', 'replica', 'sync', 'running'], ['member-3', 'replica', 'sync', 'running']])
})

test('a switchover goes to the member that was named, by name or id, or to the best one', async () => {
  const { id, members } = await cluster('moved')
  for (const [candidate, candidateId] of [['member-2', members[1]], [members[2] ?? '', members[2]], [null, null]] as const) {
    const operation = await store.databases.orderOfCluster(id, { kind: 'switchover', candidate }, actor)
    assert.deepEqual([operation.kind, operation.phase, operation.input, operation.requestedBy], ['switchover', 'beginning', { candidateId }, 'tester'])
    await finish(id)
  }
})

test('a restart and a new copy of a replica begin like every operation: woken, audited, told, one at a time', async () => {
  const { id, members } = await cluster('kept-up')
  const { wakeSeq } = await store.queue.settledState(id)
  const operation = await store.databases.orderOfCluster(id, { kind: 'reinitialise', member: 'member-3' }, actor)
  assert.deepEqual(operation.input, { memberId: members[2] })
  assert.equal((await store.queue.settledState(id)).wakeSeq, wakeSeq + 1)
  assert.equal((await store.audit.list({ teamId: rig.teamId }))[0]?.action, 'operation.start')
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: id })).at(-1)?.operationId, operation.id)
  await assert.rejects(store.databases.orderOfCluster(id, { kind: 'restart' }, actor), withCode('OperationInProgress'))
  await finish(id)
  assert.deepEqual((await store.databases.orderOfCluster(id, { kind: 'restart' }, actor)).input, {})
})

test('the leader is neither made anew nor switched to, and a stranger is no member', async () => {
  const [{ id }, other] = [await cluster('careful'), await cluster('elsewhere')]
  const refused = [
    [{ kind: 'reinitialise', member: 'member-1' }, 'MemberIsLeader'],
    [{ kind: 'switchover', candidate: 'member-1' }, 'MemberIsLeader'],
    [{ kind: 'switchover', candidate: 'member-9' }, 'InvalidRequest'],
    [{ kind: 'reinitialise', member: other.members[1] ?? '' }, 'InvalidRequest'],
  ] as const
  for (const [order, code] of refused) await assert.rejects(store.databases.orderOfCluster(id, order, actor), withCode(code))
  assert.equal((await store.databases.view(id)).operation, null)
})

test('a deletion does not wait for an operation of the cluster: it is cancelled', async () => {
  const { id } = await cluster('given-up')
  const operation = await store.databases.orderOfCluster(id, { kind: 'restart' }, actor)
  await store.databases.requestDeletion(id, { confirmName: 'given-up', finalBackup: false, keepBackupsDays: 0 }, actor)
  assert.equal((await store.operations.get(operation.id)).outcome, 'cancelled')
})

test('nothing of it is for a standalone, for a cluster that is not made yet, or for one that is paused or being deleted', async () => {
  const restart = (id: string) => store.databases.orderOfCluster(id, { kind: 'restart' }, actor)
  await assert.rejects(restart((await rig.create('one-server')).id), withCode('NotHighlyAvailable'))
  await assert.rejects(restart((await rig.create('unmade', { tier: 'pro', topology: 'ha' })).id), withCode('DatabaseNotReady'))
  const { id } = await cluster('resting')
  await store.databases.patch(id, { paused: true }, actor)
  await assert.rejects(restart(id), withCode('DatabasePaused'))
  await store.databases.patch(id, { paused: false }, actor)
  await store.databases.requestDeletion(id, { confirmName: 'resting', finalBackup: false, keepBackupsDays: 0 }, actor)
  await assert.rejects(restart(id), withCode('DatabaseDeleting'))
})
