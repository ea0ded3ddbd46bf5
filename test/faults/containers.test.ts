/**
 * Containers killed, stopped, frozen, removed, half-made, in somebody's way, while a customer writes without a pause: the
 * database comes back by itself, or says what is in its way, and no acknowledged row is lost.
 */
import assert from 'node:assert/strict'
import { before, test, type TestContext } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import { label, resourceNames } from '../../src/domain/names.ts'
import { containerOf } from '../harness/containers.ts'
import { endings } from '../harness/endings.ts'
import { NotYet } from '../harness/waiting.ts'
import { census, remains } from './census.ts'
import { answered, backUp, condition, connectionTo, gone, look, order, remove, restore, settled, startWriter, verified, type Customer, type Writer } from './customer.ts'
import { killPostmaster, leaveHalfMade, occupy, partOf, removeByHand, replaced, runningJob, startStranger, vacate, type Part } from './engineFaults.ts'
import { eventually, openRig, type Rig } from './rig.ts'

const ending = endings()
let rig: Rig
let shop: Customer
let writer: Writer

before(async () => {
  rig = await openRig(ending)
  shop = await order(rig, 'shop')
  await settled(rig, shop.id)
  writer = await startWriter(shop)
  ending.after(() => writer.stop())
  await writer.writesAgain()
})

/** The fault, then writes again, and every row that was ever acknowledged. */
async function survives(t: TestContext, fault: () => Promise<unknown>): Promise<void> {
  writer.longestGapMs()
  await fault()
  await writer.writesAgain()
  const gapMs = writer.longestGapMs()
  t.diagnostic(`${await writer.check()} acknowledged rows are there; the longest time without a write was ${gapMs} ms`)
  await settled(rig, shop.id)
}

const member = async () => partOf(rig, shop.id, 'member')

test('a member that is killed is started again', (t) => survives(t, async () => (await member()).kill()))
test('a member that is stopped is started again', (t) => survives(t, async () => (await member()).stop()))
test('a member that is removed by hand is made again on its volume', (t) => survives(t, () => removeByHand(rig, shop.id, 'member')))
test('a postmaster that is killed is started again by its supervisor', (t) => survives(t, () => killPostmaster(rig, shop.id)))
test('an endpoint that is killed is started again', (t) => survives(t, async () => (await partOf(rig, shop.id, 'endpoint')).kill()))
test('an endpoint that is removed is made again with the same ports', (t) => survives(t, () => removeByHand(rig, shop.id, 'endpoint')))

test('a member that is paused by hand is told and left alone until it is unpaused', (t) => survives(t, async () => {
  const paused = await member()
  await paused.pause()
  const told = await condition(rig, shop.id, 'Progressing', (status, reason) => status === 'false' && reason === 'ContainerPaused')
  assert.match(told, /unpause container/)
  await condition(rig, shop.id, 'Ready', (status) => status === 'false')
  assert.equal((await paused.inspect()).State.Paused, true)
  await paused.unpause()
}))

test('an agent that is removed is made again and archives on', (t) => survives(t, async () => {
  const { id } = await containerOf(rig.service, shop.id, 'agent')
  await removeByHand(rig, shop.id, 'agent')
  await replaced(rig, shop.id, 'agent', id)
  await condition(rig, shop.id, 'WalArchived', (status) => status === 'true')
}))

test('a backup whose job is removed is taken by another attempt', (t) => survives(t, async () => {
  const backupId = await backUp(rig, shop.id)
  await (await runningJob(rig, shop.id, 'backup')).remove({ force: true })
  const backup = await verified(rig, backupId)
  assert.equal((await census(rig, shop.id))['verified backup'], 2)
  t.diagnostic(`read back: ${backup.label}`)
}))

for (const part of ['member', 'endpoint', 'agent'] satisfies Part[]) {
  test(`a ${part} that was made but never started is finished`, (t) => survives(t, async () => {
    await rig.controller.kill()
    const id = await leaveHalfMade(rig, shop.id, part)
    await rig.restart()
    await eventually(`the ${part} to run`, async () => {
      const seen = await containerOf(rig.service, shop.id, part)
      return seen.state === 'running' ? seen : new NotYet(seen.state)
    }, 60_000)
    assert.equal((await containerOf(rig.service, shop.id, part)).id, id)
  }))

  test(`a ${part} that was half-made from other settings is made anew`, (t) => survives(t, async () => {
    await rig.controller.kill()
    const id = await leaveHalfMade(rig, shop.id, part, { [label.spec]: 'other' })
    await rig.restart()
    await replaced(rig, shop.id, part, id)
  }))
}

test('a name that a stranger’s container has is told, and the stranger is never touched', (t) => survives(t, async () => {
  const { name } = await containerOf(rig.service, shop.id, 'endpoint')
  await rig.controller.kill()
  await removeByHand(rig, shop.id, 'endpoint')
  const stranger = await startStranger(rig, name)
  try {
    await rig.restart()
    const told = await condition(rig, shop.id, 'Progressing', (_status, reason) => reason === 'ResourceConflict')
    assert.match(told, /does not belong to this installation/)
    assert.equal(await stranger.lives(), true)
  } finally {
    await stranger.remove()
  }
}))

test('a port that another process holds is told, and used as soon as it is free', (t) => survives(t, async () => {
  const port = (await look(rig, shop.id)).endpoint?.ports.rw
  assert.ok(port !== undefined)
  await rig.controller.kill()
  await removeByHand(rig, shop.id, 'endpoint')
  const server = await occupy(port)
  try {
    await rig.restart()
    await condition(rig, shop.id, 'Progressing', (_status, reason) => reason === 'ResourceConflict')
  } finally {
    await vacate(server)
  }
}))

test('a deletion waits for a data volume that somebody uses, and says so', async () => {
  const other = await order(rig, 'busy')
  await settled(rig, other.id)
  const stranger = await startStranger(rig, `${rig.service.config.installation}-stranger`, [`${await dataVolumeOf(other)}:/mnt`])
  try {
    await remove(rig, other)
    const told = await condition(rig, other.id, 'Progressing', (_status, reason) => reason === 'Conflict')
    assert.match(told, /tried again/)
    assert.equal(await stranger.lives(), true)
  } finally {
    await stranger.remove()
  }
  await gone(rig, other)
})

test('a data volume that is removed is told and never replaced; a restore has the rows and takes over', async (t) => {
  const before = writer.acknowledged()
  await verified(rig, await backUp(rig, shop.id))
  await pause(true)
  await removeByHand(rig, shop.id, 'member')
  const volume = await dataVolumeOf(shop)
  await rig.service.docker.getVolume(volume).remove()
  await pause(false)
  await condition(rig, shop.id, 'DataMissing', (status) => status === 'true')
  assert.equal((await rig.service.engine.listContainers({ [label.database]: shop.id, [label.kind]: 'member' }, AbortSignal.timeout(30_000))).length, 0)
  assert.equal(await rig.service.engine.findVolume(volume, AbortSignal.timeout(30_000)), null)

  const copy = await restore(rig, shop, 'shop-restored')
  await settled(rig, copy.id, 240_000)
  t.diagnostic(`${await writer.check(copy, before)} rows from before the backup are in the restored database`)
  await answerOf(rig.service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: copy.id } }, body: { kind: 'takeOverEndpoint', fromDatabaseId: shop.id } }))
  await eventually('the endpoint to be taken over', async () => {
    const { operation } = (await look(rig, copy.id)).status
    return operation?.kind === 'takeOverEndpoint' && operation.outcome === 'succeeded' ? true : new NotYet(`${operation?.phase} ${operation?.waitingFor ?? ''}`)
  }, 120_000)
  await writer.writesAgain()
  const { connection } = shop
  assert.equal(connectionTo(rig, await look(rig, copy.id), shop.login).port, connection.port)
  await answered({ ...copy, connection }, 'select 1')
  await writer.stop()
  // the old one goes as soon as it is asked to: nothing of the one that took over is in its way, or goes with it
  await remove(rig, shop)
  await gone(rig, shop)
  await answered({ ...copy, connection }, 'select 1')
  await remove(rig, copy)
  await gone(rig, copy)
  assert.deepEqual(await remains(rig), [])
})

async function pause(paused: boolean): Promise<void> {
  await answerOf(rig.service.api.PATCH('/v1/databases/{id}', { params: { path: { id: shop.id } }, body: { paused } }))
  // the pass that was under way when it was paused ends first
  await condition(rig, shop.id, 'Paused', (status) => status === String(paused))
}

async function dataVolumeOf(customer: Customer): Promise<string> {
  const memberId = (await look(rig, customer.id)).instances[0]?.members[0]?.id
  assert.ok(memberId !== undefined)
  return resourceNames(rig.service.config.installation).dataVolume(memberId)
}
