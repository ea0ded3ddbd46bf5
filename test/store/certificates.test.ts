import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStore } from '../../src/store/store.ts'
import { newAuthority, keyPairOf } from './certificateRig.ts'
import { startRig, withCode } from './rig.ts'

test('the first authority is kept, whoever comes second gets it', async (t) => {
  const { store, keyring, database } = await startRig(t)
  const other = createStore({ pool: database.connect(), keyring })
  await assert.rejects(store.certificates.active(), withCode('NotFound'))
  const imported = await Promise.all([store, other, store, other].map((one, index) => one.certificates.importIfNone(newAuthority(String(index)))))
  assert.equal(new Set(imported.map(({ id }) => id)).size, 1)
  const active = await store.certificates.active()
  assert.deepEqual([active.id, active.keyPem.reveal()], [imported[0]?.id, imported[0]?.keyPem.reveal()])
})

test('a successor is trusted first, signs when activated, and the old one goes when nothing of it is in use', async (t) => {
  const rig = await startRig(t)
  const { store } = rig
  const [old, next] = [newAuthority('old'), newAuthority('next')]
  await store.certificates.importIfNone(old)
  const { id } = await rig.create('served')
  const desired = async () => (await store.desired.load(id)) ?? assert.fail('the database is gone')
  const woken = (await store.queue.settledState(id)).wakeSeq
  await store.certificates.addAuthority(next)
  assert.deepEqual([(await desired()).activeAuthorityId, (await desired()).trustBundlePem], [old.id, 'certificate of old\ncertificate of next\n'])
  assert.equal((await store.queue.settledState(id)).wakeSeq, woken + 1)
  await assert.rejects(store.certificates.removeAuthority(old.id), withCode('Conflict'))
  await store.certificates.activate(next.id)
  assert.deepEqual((await store.certificates.trusted()).map(({ id: authority, state }) => [authority, state]), [[next.id, 'active'], [old.id, 'trusted']])
  assert.equal((await desired()).activeAuthorityId, next.id)
  const memberId = (await desired()).instances[0]?.members[0]?.id ?? ''
  const lease = await rig.lease(id)
  await store.certificates.put(lease, { purpose: 'member', ownerId: memberId, keyPair: keyPairOf(old.id, 'm') })
  await assert.rejects(store.certificates.removeAuthority(old.id), withCode('Conflict'))
  await store.certificates.put(lease, { purpose: 'member', ownerId: memberId, keyPair: keyPairOf(next.id, 'm') })
  await store.certificates.removeAuthority(old.id)
  assert.equal((await desired()).trustBundlePem, 'certificate of next\n')
  await assert.rejects(store.certificates.activate(old.id), withCode('NotFound'))
  assert.equal((await store.certificates.active()).id, next.id)
})
