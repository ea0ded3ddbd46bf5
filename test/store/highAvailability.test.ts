/** Clusters as they are asked for: who may have one, what it consists of, and how it is changed. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { after, test } from 'node:test'
import { actor, provisioning, startRig, withCode, type Rig } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const ha = { tier: 'standard', topology: 'ha' } as const
await store.teams.setHa(rig.teamId, true, actor)

const everything = ['databases', 'instances', 'members', 'endpoints', 'ports', 'project_networks', 'work_items', 'events', 'audit_log']

async function counts(of: Rig): Promise<number[]> {
  return Promise.all(everything.map((table) => of.count(table)))
}

test('a cluster has three members with ports of their own for PostgreSQL, backups and Patroni, and two proxies', async () => {
  const { id } = await rig.create('whole', ha)
  const desired = await store.desired.load(id)
  const [instance] = desired?.instances ?? []
  assert.deepEqual([desired?.database.topology, desired?.database.durability, instance?.kind, instance?.role], ['ha', 'strict', 'cluster', 'serving'])
  assert.deepEqual(instance?.members.map(({ ordinal }) => ordinal), [1, 2, 3])
  const ports = instance?.members.flatMap((member) => [member.ports.postgres, member.ports.backup, member.ports.patroni]) ?? []
  assert.equal(new Set(ports).size, 9)
  assert.ok(ports.every((port) => port !== null && port >= provisioning.portRanges.internal.from && port <= provisioning.portRanges.internal.to))
  assert.deepEqual(desired?.endpoint?.proxies.map(({ slot }) => slot), [0, 1])
  assert.deepEqual(await endpointPorts(id), await endpointPortsAsLoaded(id))
})

async function endpointPorts(id: string): Promise<unknown> {
  return (await store.databases.view(id)).endpoint?.proxies.map(({ slot, ports }) => [slot, ports.rw, ports.ro, ports.pooled])
}

async function endpointPortsAsLoaded(id: string): Promise<unknown> {
  return (await store.desired.load(id))?.endpoint?.proxies.map(({ slot, ports }) => [slot, ports.rw, ports.ro, ports.pooled])
}

test('a standalone has no scope, no Patroni and one proxy in use', async () => {
  const { id, endpoint } = await rig.create('alone')
  const instance = (await store.desired.load(id))?.instances[0]
  assert.deepEqual([instance?.cluster, instance?.members[0]?.ports.patroni, endpoint?.proxies.length], [null, null, 1])
})

test('the scope in etcd is the instance, its user is never a common name, and its password is sealed and never printed', async () => {
  const [first, second] = [await rig.create('scoped', ha), await rig.create('other-scope', ha)]
  const [one, two] = await Promise.all([first, second].map(async ({ id }) => (await store.desired.load(id))?.instances[0]))
  assert.deepEqual([one?.cluster?.scope, one?.cluster?.user], [one?.id, `cluster-${one?.id ?? ''}`])
  assert.match(one?.cluster?.password.reveal() ?? '', /^[A-Za-z0-9_-]{32}$/)
  assert.notEqual(one?.cluster?.password.reveal(), two?.cluster?.password.reveal())
  assert.ok(!inspect(one, { depth: null }).includes(one?.cluster?.password.reveal() ?? 'x'))
  assert.equal(await rig.count('instances', `dcs_password like '%${one?.cluster?.password.reveal() ?? ''}%'`), 0)
})

test('the schema ties the password to clusters', async () => {
  await assert.rejects(rig.pool.query(`update instances set dcs_password = null where kind = 'cluster'`), { code: '23514' })
  await assert.rejects(rig.pool.query(`update instances set dcs_password = 'x' where kind = 'standalone'`), { code: '23514' })
})

test('members and proxies are spread over the hosts there are', async (t) => {
  for (const [hosts, distinct] of [[1, 1], [2, 2], [3, 3], [4, 3]] as const) {
    await t.test(`${String(hosts)} hosts`, async (u) => {
      const fresh = await startRig(u, { hosts })
      await fresh.store.teams.setHa(fresh.teamId, true, actor)
      const { id, instances } = await fresh.create('spread', ha)
      assert.equal(new Set(instances[0]?.members.map(({ host }) => host)).size, distinct)
      const desired = await fresh.store.desired.load(id)
      assert.equal(new Set(desired?.endpoint?.proxies.map(({ hostId }) => hostId)).size, Math.min(hosts, 2))
      const used = new Set([...desired?.instances[0]?.members ?? [], ...desired?.endpoint?.proxies ?? []].map(({ hostId }) => hostId))
      assert.deepEqual([desired?.hosts.length, desired?.networks.length], [used.size, used.size])
    })
  }
})

test('clusters created at once never share a port', async () => {
  await Promise.all(Array.from({ length: 6 }, (_, index) => rig.create(`many-${String(index)}`, ha)))
  const { rows } = await rig.pool.query<{ port: number }>(
    `select unnest(array[rw_port, ro_port, pooled_port, runtime_port]) as port from endpoint_proxies
      union all select unnest(array_remove(array[postgres_port, backup_port, patroni_port], null)) from members`,
  )
  assert.equal(new Set(rows.map(({ port }) => port)).size, rows.length)
  assert.equal(await rig.count('members', `patroni_port is not null and not exists (select from ports p where p.host_id = members.host_id and p.port = patroni_port and p.owner_id = members.id)`), 0)
})

test('without the opt-in, or on a tier without clusters, nothing is created, and the answer says what is needed', async (t) => {
  const fresh = await startRig(t)
  const before = await counts(fresh)
  await assert.rejects(fresh.create('early', ha), (error) =>
    withCode('HaNotEnabled')(error) && error instanceof Error && 'next' in error && String(error.next).includes(`holdfast ha on --team ${fresh.teamId}`))
  await fresh.store.teams.setHa(fresh.teamId, true, actor)
  const enabled = await counts(fresh)
  await assert.rejects(fresh.create('small', { tier: 'starter', topology: 'ha' }), (error) =>
    withCode('TierNotHa')(error) && error instanceof Error && 'next' in error && String(error.next).includes('standard, pro'))
  assert.deepEqual(await counts(fresh), enabled)
  assert.deepEqual(enabled.slice(0, 7), before.slice(0, 7))
})

test('the toggle is audited and told once, and turned off it leaves existing clusters alone', async (t) => {
  const fresh = await startRig(t)
  assert.equal((await fresh.store.teams.get(fresh.teamId)).haEnabled, false)
  for (const enabled of [true, true]) assert.equal((await fresh.store.teams.setHa(fresh.teamId, enabled, actor)).haEnabled, enabled)
  const { id } = await fresh.create('kept', ha)
  const before = JSON.stringify([await fresh.store.databases.view(id), await fresh.store.queue.settledState(id)])
  assert.equal((await fresh.store.teams.setHa(fresh.teamId, false, actor)).haEnabled, false)
  assert.equal(JSON.stringify([await fresh.store.databases.view(id), await fresh.store.queue.settledState(id)]), before)
  assert.equal((await fresh.store.databases.patch(id, { durability: 'quorum' }, actor)).durability, 'quorum')
  await assert.rejects(fresh.create('later', ha), withCode('HaNotEnabled'))
  const audit = (await fresh.store.audit.list({ teamId: fresh.teamId })).map(({ action }) => action).filter((action) => action.startsWith('ha.'))
  const events = (await fresh.store.events.list({ teamId: fresh.teamId })).map(({ reason }) => reason).filter((reason) => reason.startsWith('Ha'))
  assert.deepEqual([audit, events], [['ha.off', 'ha.on'], ['HaEnabled', 'HaDisabled']])
  await assert.rejects(fresh.store.teams.setHa(randomUUID(), true, actor), withCode('NotFound'))
})

test('the tier of a cluster changes by an operation, that of a standalone does not', async () => {
  const { id } = await rig.create('resized', ha)
  const changed = await store.databases.patch(id, { tier: 'pro' }, actor)
  assert.deepEqual([changed.tier, changed.generation, changed.operation?.kind, changed.operation?.input], ['pro', 2, 'changeTier', { fromTier: 'standard', toTier: 'pro' }])
  await assert.rejects(store.databases.patch(id, { tier: 'standard' }, actor), withCode('OperationInProgress'))
  assert.equal((await store.databases.view(id)).tier, 'pro')
  assert.equal((await store.databases.patch(id, { tier: 'pro' }, actor)).generation, 2)
  const alone = await rig.create('resized-alone')
  assert.equal((await store.databases.patch(alone.id, { tier: 'standard' }, actor)).operation, null)
})

test('a cluster never gets a tier without clusters, and rolls none while it is paused', async () => {
  const { id } = await rig.create('floor', ha)
  await assert.rejects(store.databases.patch(id, { tier: 'starter' }, actor), withCode('TierNotHa'))
  await store.databases.patch(id, { paused: true }, actor)
  await assert.rejects(store.databases.patch(id, { tier: 'pro' }, actor), withCode('DatabasePaused'))
  const resumed = await store.databases.patch(id, { tier: 'pro', paused: false }, actor)
  assert.deepEqual([resumed.tier, resumed.operation?.kind], ['pro', 'changeTier'])
})

test('durability is a choice of clusters only', async () => {
  const { id, durability } = await rig.create('choice', { ...ha, durability: 'quorum' })
  assert.equal(durability, 'quorum')
  const strict = await store.databases.patch(id, { durability: 'strict' }, actor)
  assert.deepEqual([strict.durability, strict.generation], ['strict', 2])
  const alone = await rig.create('no-choice')
  await assert.rejects(store.databases.patch(alone.id, { durability: 'quorum' }, actor), withCode('NotHighlyAvailable'))
  await assert.rejects(rig.pool.query(`update databases set durability = 'none' where id = $1`, [id]), { code: '23514' })
})

test('a cluster that is gone gives its ports back', async () => {
  const { id } = await rig.create('gone', ha)
  const before = await rig.count('ports')
  await store.databases.requestDeletion(id, { confirmName: 'gone', finalBackup: false, keepBackupsDays: 0 }, actor)
  const lease = await rig.lease(id)
  await store.records.apply(lease, (['finalBackup', 'containers', 'volumes'] as const).map((finalizer) => ({ kind: 'finalizerDone', finalizer })))
  assert.equal(await rig.count('ports'), before - 9 - 8)
})
