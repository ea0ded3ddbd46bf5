import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig

test('databases created at once never share a port', async () => {
  const created = await Promise.all(Array.from({ length: 12 }, (_, index) => rig.create(`many-${String(index)}`)))
  const { rows } = await rig.pool.query<{ port: number }>(
    `select unnest(array[rw_port, ro_port, pooled_port, runtime_port]) as port from endpoint_proxies
      union all select unnest(array[postgres_port, backup_port]) from members`,
  )
  assert.equal(created.length, 12)
  assert.equal(rows.length, 12 * 10)
  assert.equal(new Set(rows.map(({ port }) => port)).size, rows.length)
})

test('ports are given out from the lowest, in the range of their kind', async (t) => {
  const fresh = await startRig(t)
  await fresh.create('first')
  const { rows } = await fresh.pool.query<{ purpose: string; port: number }>(`select purpose, min(port) as port from ports group by purpose order by purpose`)
  assert.deepEqual(rows, [
    { purpose: 'backup', port: 30_001 }, { purpose: 'pooled', port: 20_002 }, { purpose: 'postgres', port: 30_000 },
    { purpose: 'ro', port: 20_001 }, { purpose: 'runtime', port: 30_002 }, { purpose: 'rw', port: 20_000 },
  ])
})

test('when the ports are used up the request says so, and nothing is left of it', async (t) => {
  const fresh = await startRig(t)
  const narrow = { portRanges: { ...provisioning.portRanges, public: { from: 21_000, to: 21_010 } } }
  await fresh.create('fits', narrow)
  const before = [await fresh.count('ports'), await fresh.count('databases'), await fresh.count('events')]
  await assert.rejects(fresh.create('too-many', narrow), withCode('PortsExhausted'))
  assert.deepEqual([await fresh.count('ports'), await fresh.count('databases'), await fresh.count('events')], before)
})

test('the schema itself refuses a port that is given out twice', async () => {
  const { rows } = await rig.pool.query<{ host_id: string; port: number }>(`select host_id, port from ports limit 1`)
  await assert.rejects(
    rig.pool.query(`insert into ports (host_id, port, owner_id, purpose) values ($1, $2, gen_random_uuid(), 'again')`, [rows[0]?.host_id, rows[0]?.port]),
    { code: '23505' },
  )
  await assert.rejects(rig.pool.query(`delete from ports`), { code: '23503' })
})

test('projects have networks of their own, which their databases share', async (t) => {
  const fresh = await startRig(t)
  const projects = await Promise.all(['p1', 'p2', 'p3'].map((name) => fresh.store.projects.create({ teamId: fresh.teamId, name }, actor)))
  await Promise.all(projects.flatMap(({ id: projectId }) => ['a1', 'b1'].map((name) => fresh.create(name, { projectId }))))
  const networks = (await fresh.store.projects.list(fresh.teamId)).flatMap((project) => project.networks)
  assert.deepEqual(networks.map(({ subnet }) => subnet).toSorted(), ['10.213.0.0/26', '10.213.0.128/26', '10.213.0.64/26'])
})

test('when the networks are used up the request says so', async (t) => {
  const fresh = await startRig(t)
  const pool = { networkPool: { cidr: '10.1.0.0/28', prefix: 29 } }
  const inNewProject = async (name: string): Promise<unknown> => {
    const { id: projectId } = await fresh.store.projects.create({ teamId: fresh.teamId, name }, actor)
    return fresh.create('data', { projectId, ...pool })
  }
  await inNewProject('n1')
  await inNewProject('n2')
  await assert.rejects(inNewProject('n3'), withCode('NetworksExhausted'))
})

test('pieces of another size do not overlap with those given out before', async (t) => {
  const fresh = await startRig(t)
  await fresh.create('small', { networkPool: { cidr: '10.1.0.0/16', prefix: 26 } })
  const { id: projectId } = await fresh.store.projects.create({ teamId: fresh.teamId, name: 'larger' }, actor)
  await fresh.create('large', { projectId, networkPool: { cidr: '10.1.0.0/16', prefix: 24 } })
  assert.deepEqual((await fresh.store.projects.get(projectId)).networks.map(({ subnet }) => subnet), ['10.1.1.0/24'])
})

test('one project is created once, one team is created once', async () => {
  await assert.rejects(store.teams.create({ name: 'red' }, actor), withCode('NameTaken'))
  await assert.rejects(store.projects.create({ teamId: rig.teamId, name: 'shop' }, actor), withCode('NameTaken'))
})

test('a host keeps its state when it is registered again', async (t) => {
  const fresh = await startRig(t)
  const [host] = await fresh.store.hosts.list()
  assert.ok(host !== undefined)
  await fresh.pool.query(`update hosts set state = 'draining'`)
  const { state: _, ...known } = host
  const again = await fresh.store.hosts.register({ ...known, privateAddress: '10.0.0.9' })
  assert.deepEqual([again.state, again.privateAddress], ['draining', '10.0.0.9'])
  assert.deepEqual(await fresh.store.hosts.active(), [])
})
