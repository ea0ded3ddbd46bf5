import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig

test('a new database has everything it consists of, and waits in the queue', async () => {
  const { database, credential } = await store.databases.create({ ...provisioning, projectId: rig.projectId, name: 'orders', tier: 'starter' }, actor)
  assert.equal(database.name, 'orders')
  assert.equal(database.databaseName, 'orders')
  assert.equal(credential.roleName, 'orders_1')
  assert.match(credential.password.reveal(), /^[A-Za-z0-9_-]{32}$/)
  assert.equal(database.instances[0]?.members.length, 1)
  assert.equal(database.endpoint?.host, 'orders.db.example.test')
  assert.deepEqual([database.generation, database.observedGeneration], [1, 0])
  assert.equal(await rig.count('endpoint_proxies', `endpoint_id = '${database.endpoint?.id ?? ''}'`), 2)
  assert.equal(await rig.count('ports', `owner_id = '${database.endpoint?.id ?? ''}'`), 8)
  const desired = await store.desired.load(database.id)
  assert.equal(desired?.credentials[0]?.password.reveal(), credential.password.reveal())
})
