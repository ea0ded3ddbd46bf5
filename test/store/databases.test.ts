import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { createPool } from '../../src/store/pool.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig

test('a new database has everything it consists of, and waits in the queue', async () => {
  const { database, credential } = await store.databases.create({ ...provisioning, projectId: rig.projectId, name: 'orders', tier: 'starter' }, actor)
  assert.equal(database.databaseName, 'orders')
  assert.equal(credential.roleName, 'orders_1')
  assert.match(credential.password.reveal(), /^[A-Za-z0-9_-]{32}$/)
  assert.equal(database.instances[0]?.members.length, 1)
  assert.equal(database.endpoint?.host, 'orders.db.example.test')
  assert.deepEqual([database.generation, database.observedGeneration], [1, 0])
  assert.equal(await rig.count('endpoint_proxies', `endpoint_id = '${database.endpoint?.id ?? ''}'`), 2)
  assert.equal(await rig.count('ports', `owner_id = '${database.endpoint?.id ?? ''}'`), 8)
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: database.id }))[0]?.reason, 'DatabaseRequested')
  assert.equal((await store.audit.list({ teamId: rig.teamId }))[0]?.action, 'database.create')
  const desired = await store.desired.load(database.id)
  assert.equal(desired?.credentials[0]?.password.reveal(), credential.password.reveal())
})

test('a role made from the verifier logs in with the password, and with no other', async (t) => {
  const { database, credential } = await store.databases.create({ ...provisioning, projectId: rig.projectId, name: 'login', tier: 'starter' }, actor)
  const verifier = (await store.desired.load(database.id))?.credentials[0]?.verifier.reveal() ?? ''
  // a verifier is kept as it is, anything else would be hashed; roles belong to the whole server, hence a name of its own
  const role = `login${randomUUID().slice(0, 8)}_1`
  await rig.pool.query(`create role ${role} login password '${verifier}'`)
  t.after(() => rig.pool.query(`drop role ${role}`))
  await connectAs(role, credential.password.reveal())
  await assert.rejects(connectAs(role, 'another'), { code: '28P01' })
})

async function connectAs(role: string, password: string): Promise<void> {
  const url = new URL(rig.database.url.reveal())
  url.username = role
  url.password = password
  const client = new pg.Client({ connectionString: url.href })
  await client.connect().finally(() => client.end())
}

test('a name is taken until the database that has it is removed', async () => {
  await rig.create('twice')
  await assert.rejects(rig.create('twice'), withCode('NameTaken'))
})

test('names that mean something inside PostgreSQL are refused, and another one may be given', async () => {
  for (const name of ['postgres', 'template1', 'pgbouncer', 'holdfast-x', 'replication']) {
    await assert.rejects(rig.create(name), withCode('InvalidRequest'), name)
  }
  assert.equal((await rig.create('postgres', { databaseName: 'app' })).databaseName, 'app')
  assert.equal((await rig.create('a-b-c')).databaseName, 'a_b_c')
})

test('what the schema does not allow is an invalid request, and nothing is left of it', async () => {
  const before = await rig.count('ports')
  await assert.rejects(rig.create('Bad Name'), withCode('InvalidRequest'))
  await assert.rejects(rig.create('narrow', { allowList: ['10.0.0.1/8'] }), withCode('InvalidRequest'))
  await assert.rejects(rig.create('tiny', { storageBytes: 1 }), withCode('InvalidRequest'))
  await assert.rejects(rig.create(`x'; drop table teams; --`), withCode('InvalidRequest'))
  assert.equal(await rig.count('ports'), before)
})

test('what is not there is not found', async () => {
  const id = randomUUID()
  await assert.rejects(store.databases.get(id), withCode('NotFound'))
  await assert.rejects(store.databases.view(id), withCode('NotFound'))
  await assert.rejects(store.databases.patch(id, { paused: true }, actor), withCode('NotFound'))
  await assert.rejects(store.projects.get(id), withCode('NotFound'))
  await assert.rejects(store.projects.create({ teamId: id, name: 'lost' }, actor), withCode('NotFound'))
  await assert.rejects(rig.create('lost', { projectId: id }), withCode('NotFound'))
  await assert.rejects(store.databases.view('not-an-id'), withCode('InvalidRequest'))
  assert.equal(await store.desired.load(id), null)
})

test('a patch raises the generation and wakes; one that changes nothing does not raise it', async () => {
  const { id } = await rig.create('patched')
  const before = (await store.queue.settledState(id)).wakeSeq
  const changed = await store.databases.patch(id, { allowList: ['10.0.0.0/8'], paused: true }, actor)
  assert.deepEqual([changed.generation, changed.allowList, changed.paused], [2, ['10.0.0.0/8'], true])
  assert.equal((await store.queue.settledState(id)).wakeSeq, before + 1)
  assert.equal((await store.databases.patch(id, { paused: true }, actor)).generation, 2)
  assert.equal((await store.events.list({ teamId: rig.teamId, databaseId: id })).filter(({ reason }) => reason === 'DatabaseChanged').length, 1)
})

test('storage follows a larger tier and never shrinks', async () => {
  const { id, storageBytes } = await rig.create('grown')
  const standard = await store.databases.patch(id, { tier: 'standard' }, actor)
  assert.equal(standard.storageBytes, 4 * storageBytes)
  assert.equal((await store.databases.patch(id, { tier: 'starter' }, actor)).storageBytes, standard.storageBytes)
  await assert.rejects(store.databases.patch(id, { storageBytes }, actor), withCode('StorageCannotShrink'))
})

test('a new name must be free', async () => {
  const { id } = await rig.create('renamed')
  await rig.create('occupied')
  await assert.rejects(store.databases.patch(id, { name: 'occupied' }, actor), withCode('NameTaken'))
  assert.equal((await store.databases.patch(id, { name: 'fresh' }, actor)).name, 'fresh')
})

test('pages show every database once, newest first', async () => {
  const { id: projectId } = await store.projects.create({ teamId: rig.teamId, name: 'pages' }, actor)
  const made: string[] = []
  for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) made.push((await rig.create(name, { projectId })).id)
  const shown: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await store.databases.list({ projectId, limit: 2, ...(cursor !== '' && { cursor }) })
    shown.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor
  }
  assert.deepEqual(shown, made.toReversed())
  await assert.rejects(store.databases.list({ cursor: 'nonsense' }), withCode('InvalidRequest'))
})

test('a rotated password overlaps with the old one, whose end has a date', async () => {
  const { id } = await rig.create('rotated')
  const rotated = await store.databases.rotateCredential(id, { overlapSeconds: 3600 }, actor)
  assert.equal(rotated.roleName, 'rotated_2')
  const { credentials, generation } = await store.databases.view(id)
  assert.deepEqual(credentials.map(({ roleName, endsAt }) => [roleName, endsAt === null]), [['rotated_2', true], ['rotated_1', false]])
  assert.equal(generation, 2)
  for (const _ of [1, 2]) await store.databases.rotateCredential(id, { overlapSeconds: 3600 }, actor)
  await assert.rejects(store.databases.rotateCredential(id, { overlapSeconds: 3600 }, actor), withCode('Conflict'))
})

test('two rotations at once end in one current password', async () => {
  const { id } = await rig.create('raced')
  const rotations = await Promise.all([1, 2].map(() => store.databases.rotateCredential(id, { overlapSeconds: 60 }, actor)))
  assert.deepEqual(rotations.map(({ roleName }) => roleName).toSorted(), ['raced_2', 'raced_3'])
  assert.equal(await rig.count('credentials', `database_id = '${id}' and ends_at is null`), 1)
})

test('a backup needs something to back up, and one at a time is open', async () => {
  const { id } = await rig.create('saved')
  await assert.rejects(store.databases.requestBackup(id, 'full', actor), withCode('DatabaseNotReady'))
  await rig.initialise(id)
  const requests = await Promise.all(Array.from({ length: 4 }, () => store.databases.requestBackup(id, 'full', actor)))
  assert.equal(requests.filter(({ created }) => created).length, 1)
  assert.equal(new Set(requests.map(({ backup }) => backup.id)).size, 1)
  await store.databases.patch(id, { paused: true }, actor)
  await assert.rejects(store.databases.requestBackup(id, 'full', actor), withCode('DatabasePaused'))
})

test('no password, key or sealed text is in what the API gets', async () => {
  const { database, credential } = await store.databases.create({ ...provisioning, projectId: rig.projectId, name: 'quiet', tier: 'starter' }, actor)
  await store.databases.rotateCredential(database.id, { overlapSeconds: 60 }, actor)
  const seen = JSON.stringify([
    await store.databases.view(database.id), await store.events.list({ teamId: rig.teamId }), await store.audit.list({}), await store.databases.get(database.id),
  ])
  assert.ok(!seen.includes(credential.password.reveal()))
  assert.doesNotMatch(seen, /SCRAM-SHA-256|v1\.k[0-9a-f]{8}\./)
})

test('the second proxy and the second host share the numbers of the ports', async (t) => {
  const two = await startRig(t, { hosts: 2 })
  const { id } = await two.create('spread')
  const desired = await two.store.desired.load(id)
  assert.equal(new Set(desired?.endpoint?.proxies.map(({ hostId }) => hostId)).size, 2)
  assert.deepEqual(desired?.endpoint?.proxies[0]?.ports, desired?.endpoint?.proxies[1]?.ports)
  assert.equal(desired?.networks.length, 2)
  assert.equal(desired?.hosts.length, 2)
})

test('members are placed where the fewest are, and never on a host that takes none', async (t) => {
  const two = await startRig(t, { hosts: 2 })
  const hostsOf = async (name: string): Promise<string | undefined> => (await two.create(name)).instances[0]?.members[0]?.host
  const hosts = [await hostsOf('one'), await hostsOf('two'), await hostsOf('three'), await hostsOf('four')]
  assert.deepEqual(hosts, ['host-1', 'host-2', 'host-1', 'host-2'])
  await two.pool.query(`update hosts set state = 'draining' where name = 'host-1'`)
  assert.equal(await hostsOf('five'), 'host-2')
  await two.pool.query(`update hosts set state = 'lost'`)
  await assert.rejects(two.create('six'), withCode('NoCapacity'))
})

test('a pool bounds every statement', async () => {
  const pool = createPool({ url: rig.database.url, applicationName: 'bounded', maxConnections: 1 })
  try {
    const { rows } = await pool.query<{ statement: string; idle: string; lock: string }>(
      `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
              current_setting('idle_in_transaction_session_timeout') as idle`,
    )
    assert.deepEqual(rows, [{ statement: '10s', idle: '15s', lock: '5s' }])
  } finally {
    await pool.end()
  }
})
