import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { after, test } from 'node:test'
import { importAuthority, keyPairOf } from './certificateRig.ts'
import { provisioning, startRig } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const authorityId = await importAuthority(store)

test('a pass gets everything about its database and nothing about others', async () => {
  const [mine, other] = [await rig.create('mine'), await rig.create('other')]
  const instanceId = await rig.initialise(mine.id)
  const lease = await rig.lease(mine.id)
  const memberId = mine.instances[0]?.members[0]?.id ?? ''
  await store.records.apply(lease, [{ kind: 'requestBackup', instanceId, backup: 'full', trigger: 'initial' }], [{ purpose: 'member', ownerId: memberId, keyPair: keyPairOf(authorityId, 'm') }])
  const desired = await store.desired.load(mine.id)
  assert.ok(desired !== null)
  assert.deepEqual([desired.team, desired.project], [{ id: rig.teamId, name: 'red', haEnabled: false }, { id: rig.projectId, name: 'shop' }])
  assert.deepEqual(desired.hosts, [{ id: rig.hostIds[0], name: 'host-1', engine: 'unix:///var/run/docker.sock', privateAddress: '172.17.0.1', publicAddress: '127.0.0.1', state: 'active' }])
  assert.deepEqual(desired.networks, [{ hostId: rig.hostIds[0], subnet: '10.213.0.0/26' }])
  assert.deepEqual(desired.database.images, provisioning.images)
  assert.deepEqual(desired.database.allowList, ['0.0.0.0/0', '::/0'])
  assert.deepEqual(desired.instances[0]?.members.map(({ id, instanceId: of, ordinal }) => [id, of, ordinal]), [[memberId, instanceId, 1]])
  assert.deepEqual(desired.endpoint?.proxies.map(({ slot }) => slot), [0, 1])
  assert.deepEqual([...desired.certificates.keys()], [`member/${memberId}`])
  assert.deepEqual([desired.activeAuthorityId, desired.trustBundlePem], [authorityId, 'certificate of one\n'])
  assert.deepEqual(desired.backups.map(({ state }) => state), ['requested'])
  for (const date of [desired.database.createdAt, desired.credentials[0]?.createdAt, desired.backups[0]?.requestedAt, desired.instances[0]?.initialisedAt]) assert.ok(date instanceof Date)
  assert.ok(!JSON.stringify([...desired.credentials, desired.backups]).includes(other.id))
})

test('secrets are wrapped: printing what a pass loaded shows none', async () => {
  const { id } = await rig.create('printed')
  const desired = await store.desired.load(id)
  const secrets = [desired?.credentials[0]?.password, desired?.credentials[0]?.verifier, desired?.instances[0]?.repository.cipher]
  for (const shown of [inspect(desired, { depth: null }), JSON.stringify(desired)]) {
    for (const secret of secrets) assert.ok(secret !== undefined && !shown.includes(secret.reveal()))
  }
})

test('two loads of the same state are the same', async () => {
  const { id } = await rig.create('stable')
  assert.deepEqual(await store.desired.load(id), await store.desired.load(id))
})

test('of the backups come all that are kept, open ones, recent failures, and the newest of all', async () => {
  const { id } = await rig.create('history')
  const instanceId = await rig.initialise(id)
  const add = (state: string, daysAgo: number) =>
    rig.pool.query(
      `insert into backups (id, database_id, instance_id, kind, trigger, state, requested_at, label, verified_at, repository_bytes)
       values (gen_random_uuid(), $1, $2, 'full', 'scheduled', $3, now() - make_interval(days => $4), 'l', now(), 1)`,
      [id, instanceId, state, daysAgo],
    )
  for (let days = 40; days > 20; days--) await add('expired', days)
  await add('verified', 19)
  await add('failed', 12)
  for (let days = 7; days > 3; days--) await add('failed', days)
  await add('verified', 3)
  await add('running', 0)
  const states = (await store.desired.load(id))?.backups.map(({ state }) => state)
  assert.deepEqual(states, ['running', 'verified', 'failed', 'failed', 'failed', 'failed', 'verified'])
  await rig.pool.query(`update backups set state = 'expired' where instance_id = $1`, [instanceId])
  assert.equal((await store.desired.load(id))?.backups.length, 5, 'that there were backups is not forgotten')
})

test('a settled database costs one statement', async (t) => {
  const { id } = await rig.create('cheap')
  const query = t.mock.method(rig.pool, 'query')
  await store.desired.load(id)
  assert.equal(query.mock.callCount(), 1)
})
