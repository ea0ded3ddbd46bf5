import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import { actor, startRig, withCode } from './rig.ts'
import { importAuthority, keyPairOf } from './certificateRig.ts'

const rig = await startRig({ after })
const { store } = rig

test('two databases exchange endpoints with their certificates in one step, and both look again', async () => {
  const authorityId = await importAuthority(store)
  const [a, b] = [await rig.create('old'), await rig.create('new')]
  const lease = await rig.lease(b.id)
  await store.records.apply(lease, [], [{ purpose: 'endpointServer', ownerId: b.endpoint?.id ?? '', keyPair: keyPairOf(authorityId, 'new') }])
  const wakes = await Promise.all([a, b].map(async ({ id }) => (await store.queue.settledState(id)).wakeSeq))
  await store.records.apply(lease, [{ kind: 'swapEndpoints', withDatabaseId: a.id }])
  const [seenA, seenB] = [await store.desired.load(a.id), await store.desired.load(b.id)]
  assert.deepEqual([seenA?.endpoint?.id, seenB?.endpoint?.id], [b.endpoint?.id, a.endpoint?.id])
  assert.deepEqual([seenA?.endpoint?.hostName, seenB?.endpoint?.hostName], ['new.db.example.test', 'old.db.example.test'])
  assert.equal(seenA?.certificates.get(`endpointServer/${b.endpoint?.id ?? ''}`)?.commonName, 'new')
  assert.deepEqual([seenA.database.generation, seenB?.database.generation], [2, 2])
  assert.deepEqual(await Promise.all([a, b].map(async ({ id }) => (await store.queue.settledState(id)).wakeSeq)), wakes.map((seq) => seq + 1))
  assert.equal(await rig.count('ports', `owner_id = '${a.endpoint?.id ?? ''}'`), 8)
})

test('opposite exchanges at once end in one of the two orders, not in a mixture', async () => {
  const [a, b] = [await rig.create('left'), await rig.create('right')]
  const [leaseA, leaseB] = [await rig.lease(a.id), await rig.lease(b.id)]
  await Promise.all([
    store.records.apply(leaseA, [{ kind: 'swapEndpoints', withDatabaseId: b.id }]),
    store.records.apply(leaseB, [{ kind: 'swapEndpoints', withDatabaseId: a.id }]),
  ])
  assert.equal((await store.desired.load(a.id))?.endpoint?.id, a.endpoint?.id)
  assert.equal((await store.desired.load(b.id))?.endpoint?.id, b.endpoint?.id)
})

test('nothing is exchanged while the clients of either are being moved', async () => {
  const [a, b] = [await rig.create('moved'), await rig.create('other')]
  const { id } = await store.databases.startOperation(a.id, { kind: 'takeOverEndpoint', input: { fromDatabaseId: b.id } }, actor)
  const [leaseA, leaseB] = [await rig.lease(a.id), await rig.lease(b.id)]
  await store.operations.enter(leaseA, id, 'movingClients', { because: 'all is ready' })
  await store.records.apply(leaseB, [{ kind: 'swapEndpoints', withDatabaseId: a.id }])
  assert.equal((await store.desired.load(b.id))?.endpoint?.id, b.endpoint?.id)
  await store.operations.finish(leaseA, id, 'succeeded', { message: 'they were moved' })
  await store.records.apply(leaseB, [{ kind: 'swapEndpoints', withDatabaseId: a.id }])
  assert.equal((await store.desired.load(b.id))?.endpoint?.id, a.endpoint?.id)
})

test('there is nothing to exchange with a database that has no endpoint', async () => {
  const { id } = await rig.create('alone')
  const lease = await rig.lease(id)
  await assert.rejects(store.records.apply(lease, [{ kind: 'swapEndpoints', withDatabaseId: '00000000-0000-4000-8000-000000000000' }]), withCode('Conflict'))
})

test('while an endpoint is being taken over, the pass sees the endpoint it is taken from', async () => {
  const [a, b] = [await rig.create('source'), await rig.create('taker')]
  assert.equal((await store.desired.load(b.id))?.peerEndpoint, null)
  await store.databases.startOperation(b.id, { kind: 'takeOverEndpoint', input: { fromDatabaseId: a.id } }, actor)
  const peer = (await store.desired.load(b.id))?.peerEndpoint
  assert.deepEqual([peer?.databaseId, peer?.endpoint.id, peer?.endpoint.proxies.length], [a.id, a.endpoint?.id, 2])
})

test('names for certificates raise the generation once', async () => {
  const { id } = await rig.create('named')
  const lease = await rig.lease(id)
  for (const _ of [1, 2]) await store.records.apply(lease, [{ kind: 'extraCertificateNames', names: ['other.example.test'] }])
  const { database } = (await store.desired.load(id)) ?? {}
  assert.deepEqual([database?.generation, database?.extraCertificateNames], [2, ['other.example.test']])
})

test('certificates are kept sealed, replaced on renewal, and come back opened', async () => {
  const authorityId = await importAuthority(store)
  const { id } = await rig.create('certified')
  const desired = await store.desired.load(id)
  const ownerId = desired?.instances[0]?.members[0]?.id ?? ''
  const lease = await rig.lease(id)
  for (const name of ['first', 'second']) {
    await store.records.apply(lease, [], [{ purpose: 'member', ownerId, keyPair: { ...keyPairOf(authorityId, name), keyPem: new Secret(`key of ${name}`) } }])
  }
  const certificate = (await store.desired.load(id))?.certificates.get(`member/${ownerId}`)
  assert.deepEqual([certificate?.commonName, certificate?.keyPem.reveal(), certificate?.notAfter], ['second', 'key of second', new Date('2027-01-01T00:00:00.000Z')])
  assert.equal(await rig.count('certificates', `private_key like '%key of%'`), 0)
})
