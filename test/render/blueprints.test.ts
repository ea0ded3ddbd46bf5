import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import type { Desired, Instance } from '../../src/domain/desired.ts'
import { label } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createBlueprinter, type BlueprintSettings } from '../../src/render/blueprints.ts'
import { sampleCluster } from '../cluster/sample.ts'
import { sampleDatabase } from '../executor/sample.ts'

const now = new Date('2026-03-01T12:00:00Z')
const settings: BlueprintSettings = {
  installation: 'hft',
  publicBind: '0.0.0.0',
  dcs: null,
  objectStore: {
    host: 'objectstore.holdfast.internal', port: 8443, region: 'us-east-1', bucket: 'hft-backups', uriStyle: 'path',
    accessKey: new Secret('AKTEST'), secretKey: new Secret('s3-secret-of-the-store'), caPem: null, address: '172.17.0.1',
  },
}
const { desired } = await sampleDatabase({
  installation: 'hft', subnet: '10.9.0.0/24', firstPort: 25_000, privateAddress: '172.17.0.1',
  images: { postgres: 'holdfast/postgres:1', haproxy: 'holdfast/haproxy:1' }, now,
})
const blueprinter = createBlueprinter(settings)

function only<T>(values: Iterable<T>): T {
  const [first, ...rest] = values
  assert.ok(first !== undefined && rest.length === 0)
  return first
}

function all(from: Desired): { member: Blueprint; agent: Blueprint; proxy: Blueprint } {
  const made = blueprinter.blueprints(from)
  return { member: only(made.members.values()), agent: only(made.agents.values()), proxy: only(made.proxies.values()) }
}

function withDatabase(change: Partial<Desired['database']>): Desired {
  return { ...desired, database: { ...desired.database, ...change } }
}

function withInstance(change: Partial<Instance>): Desired {
  return { ...desired, instances: desired.instances.map((instance) => ({ ...instance, ...change })) }
}

const hashes = ({ specHash, configHash }: Blueprint): readonly string[] => [specHash, configHash]

test('the same desired state gives the same blueprints', () => {
  assert.deepEqual(all(desired), all(structuredDesired()))
})

/** As another controller would load it: equal, nothing shared. */
function structuredDesired(): Desired {
  return { ...desired, database: { ...desired.database }, hosts: desired.hosts.map((host) => ({ ...host })), certificates: new Map(desired.certificates) }
}

test('a container waits for its certificates', () => {
  const bare = blueprinter.blueprints({ ...desired, certificates: new Map() })
  assert.deepEqual([bare.members.size, bare.agents.size, bare.proxies.size], [0, 0, 0])
})

test('a new generation alone changes a label and nothing that is compared', () => {
  const [before, after] = [all(desired), all(withDatabase({ generation: 2 }))]
  for (const kind of ['member', 'agent', 'proxy'] as const) {
    assert.deepEqual(hashes(after[kind]), hashes(before[kind]))
    assert.equal(after[kind].labels[label.generation], '2')
    assert.equal(after[kind].labels[label.spec], after[kind].specHash)
  }
})

test('an allow-list reaches the proxy by a reload and leaves the others alone', () => {
  const [before, after] = [all(desired), all(withDatabase({ allowList: ['10.0.0.0/8'] }))]
  assert.equal(after.proxy.specHash, before.proxy.specHash)
  assert.notEqual(after.proxy.configHash, before.proxy.configHash)
  assert.deepEqual(hashes(after.member), hashes(before.member))
})

test('another lineage of data makes the proxy anew, so that old sessions end; the same one elsewhere does not', () => {
  const [instance] = desired.instances
  assert.ok(instance !== undefined)
  const other = withInstance({ repository: { ...instance.repository, path: '/lineages/another' } })
  assert.notEqual(all(other).proxy.specHash, all(desired).proxy.specHash)
  const moved = withInstance({ members: desired.instances.flatMap((instance) => instance.members.map((member) => ({ ...member, ports: { postgres: 26_000, backup: 26_001, patroni: null } }))) })
  assert.equal(all(moved).proxy.specHash, all(desired).proxy.specHash)
  assert.notEqual(all(moved).proxy.configHash, all(desired).proxy.configHash)
})

test('a renewed certificate reloads a member and a proxy, and makes the agent anew', async () => {
  const other = await sampleDatabase({
    installation: 'hft', subnet: '10.9.0.0/24', firstPort: 25_000, privateAddress: '172.17.0.1', images: desired.database.images, now,
  })
  const [renewed] = [...other.desired.certificates.values()]
  assert.ok(renewed !== undefined)
  const certificates = new Map([...desired.certificates.keys()].map((key) => [key, renewed] as const))
  const [before, after] = [all(desired), all({ ...desired, certificates })]
  assert.equal(after.member.specHash, before.member.specHash)
  assert.notEqual(after.member.configHash, before.member.configHash)
  assert.equal(after.proxy.specHash, before.proxy.specHash)
  assert.notEqual(after.proxy.configHash, before.proxy.configHash)
  assert.notEqual(after.agent.specHash, before.agent.specHash)
})

test('another tier makes the member anew; more storage alone does not', () => {
  assert.notEqual(all(withDatabase({ tier: 'standard' })).member.specHash, all(desired).member.specHash)
  const grown = all(withDatabase({ storageBytes: desired.database.storageBytes * 2 })).member
  assert.equal(grown.specHash, all(desired).member.specHash)
  assert.notEqual(grown.configHash, all(desired).member.configHash)
})

test('only an instance that was never initialised may be initialised, and taking that back is a reload', () => {
  const content = (from: Desired): string | undefined => all(from).member.files.find((file) => file.path === '/conf/initialise')?.content
  const instance = only(desired.instances)
  assert.equal(content(desired), `${instance.id}\n`)
  const initialised = withInstance({ initialisedAt: now, systemIdentifier: '7' })
  assert.equal(content(initialised), '')
  assert.equal(content(withInstance({ role: 'restoring' })), '')
  assert.equal(all(initialised).member.specHash, all(desired).member.specHash)
  assert.notEqual(all(initialised).member.configHash, all(desired).member.configHash)
})

test('a retired instance has no blueprints, and the endpoint of a restoring one leads to it', () => {
  const retired = blueprinter.blueprints(withInstance({ role: 'retired' }))
  assert.deepEqual([retired.members.size, retired.agents.size, retired.proxies.size], [0, 0, 0])
  assert.equal(all(withInstance({ role: 'restoring' })).proxy.specHash, all(desired).proxy.specHash)
})

test('secrets of the object store are in the agent and its jobs, and in no container of the customer', () => {
  const { member, agent, proxy } = all(desired)
  const text = (blueprint: Blueprint): string => JSON.stringify(blueprint.files)
  const cipher = only(desired.instances).repository.cipher.reveal()
  for (const secret of ['s3-secret-of-the-store', cipher]) {
    assert.ok(text(agent).includes(secret))
    assert.ok(!text(member).includes(secret) && !text(proxy).includes(secret))
    for (const { files: _files, ...rest } of [member, agent, proxy]) assert.ok(!JSON.stringify(rest).includes(secret))
  }
  assert.ok(agent.files.filter((file) => file.content.includes(cipher)).every((file) => file.secret))
})

test('internal ports are published on the private address only', () => {
  const { member, proxy, agent } = all(desired)
  assert.deepEqual(member.ports.map((port) => port.address), ['172.17.0.1', '172.17.0.1'])
  assert.deepEqual(proxy.ports.map((port) => `${port.address}:${port.containerPort}`), ['0.0.0.0:15432', '0.0.0.0:15433', '0.0.0.0:16432', '172.17.0.1:9999'])
  assert.deepEqual(agent.ports, [])
})

test('jobs are named by their id, never restarted, and a restore reads the source and writes the data volume', () => {
  const instanceId = only(desired.instances).id
  const backup = blueprinter.jobBlueprint(desired, { job: 'backup', jobId: 'b-1', instanceId, kind: 'full' }, null)
  assert.deepEqual(backup?.command, ['job', 'backup', 'full'])
  assert.equal(backup?.name, 'hft-job-b-1')
  assert.equal(backup?.restart, 'no')
  assert.equal(backup?.labels[label.job], 'b-1')
  assert.ok(backup?.mounts.every((mount) => mount.path !== '/data'))

  const source = { databaseId: randomUUID(), instanceId: randomUUID(), label: '20260301-120000F', targetTime: null }
  const order = { job: 'restore', jobId: 'r-1', instanceId, source } as const
  assert.equal(blueprinter.jobBlueprint(desired, order, null), null)
  const restore = blueprinter.jobBlueprint(desired, order, { path: '/lineages/source', cipher: new Secret('source-cipher') })
  assert.deepEqual(restore?.command, ['job', 'restore', 'backup', '20260301-120000F'])
  assert.deepEqual(restore?.mounts.map((mount) => mount.path), ['/data', '/conf'])
  const files = JSON.stringify(restore?.files)
  assert.ok(files.includes('/lineages/source') && files.includes('source-cipher'))
  assert.ok(!files.includes(only(desired.instances).repository.cipher.reveal()))
  const inTime = blueprinter.jobBlueprint(desired, { ...order, source: { ...source, targetTime: '2026-03-01T13:00:00.000Z' } }, { path: '/lineages/source', cipher: new Secret('c') })
  assert.deepEqual(inTime?.command, ['job', 'restore', 'time', '2026-03-01T13:00:00.000Z', '20260301-120000F'])
})

test('blueprints of a database cost little', () => {
  const rounds = 50
  blueprinter.blueprints(desired)
  const before = process.cpuUsage()
  for (let round = 0; round < rounds; round += 1) blueprinter.blueprints(desired)
  const { user, system } = process.cpuUsage(before)
  const msEach = (user + system) / 1000 / rounds
  assert.ok(msEach < 2, `${msEach} ms each`)
})

test('a store of our own is verified with what is trusted now, another one with its own authority', () => {
  const caOf = (access: Partial<BlueprintSettings['objectStore']>): string | undefined => {
    const agents = createBlueprinter({ ...settings, objectStore: { ...settings.objectStore, ...access } }).blueprints(desired).agents
    return only(agents.values()).files.find(({ path }) => path === '/conf/s3/ca.crt')?.content
  }
  const foreign = [...desired.certificates.values()][0]?.certificatePem.trim() ?? assert.fail('the sample has no certificate')
  assert.equal(caOf({ caPem: null, isOurs: true })?.trim(), desired.trustBundlePem.trim())
  assert.equal(caOf({ caPem: foreign })?.trim(), foreign)
  assert.equal(caOf({ caPem: null }), undefined)
})

const etcd = { hosts: [{ host: '172.17.0.1', port: 2379 }], caPem: null, client: null }
const cluster = await sampleCluster({
  installation: 'hft', subnet: '10.9.0.0/24', firstPort: 25_000, privateAddress: '172.17.0.1', images: desired.database.images, now,
}, { durability: 'strict', addresses: ['172.17.0.1', '172.17.0.1', '172.17.0.1'] })
const clusters = createBlueprinter({ ...settings, dcs: etcd })

test('a cluster’s member lives in its pod, which owns its ports and the one capability', () => {
  const { members, pods, configurations } = clusters.blueprints(cluster.desired)
  assert.deepEqual([members.size, pods.size, configurations.size], [3, 3, 1])
  for (const { id, ports } of cluster.instance.members) {
    const [member, pod] = [members.get(id), pods.get(id)]
    assert.ok(member !== undefined && pod !== undefined)
    assert.deepEqual(member.network, { container: pod.name })
    assert.deepEqual([member.ports, member.restart, member.capabilities], [[], 'no', undefined])
    assert.deepEqual(pod.ports.map(({ containerPort, hostPort }) => [containerPort, hostPort]), [[5432, ports.postgres], [8432, ports.backup], [8008, ports.patroni]])
    assert.deepEqual([pod.capabilities, pod.mounts, pod.files], [['NET_ADMIN'], [], []])
  }
})

test('only the first member begins a cluster, and none that was seen initialised', () => {
  const beginners = (from: Desired): number[] => {
    const { members } = clusters.blueprints(from)
    return cluster.instance.members.filter(({ id }) => members.get(id)?.files.some(({ path, content }) => path === '/conf/patroni.yml' && content.includes('\nbootstrap:')))
      .map(({ ordinal }) => ordinal)
  }
  assert.deepEqual(beginners(cluster.desired), [1])
  const initialised = { ...cluster.desired, instances: [{ ...cluster.instance, initialisedAt: now, systemIdentifier: '7' }] }
  assert.deepEqual(beginners(initialised), [])
  const hashesOf = (from: Desired) => [...clusters.blueprints(from).members.values()].map(({ specHash }) => specHash)
  assert.deepEqual(hashesOf(initialised), hashesOf(cluster.desired))
})

test('without etcd there is no cluster’s member', () => {
  assert.equal(blueprinter.blueprints(cluster.desired).members.size, 0)
})

test('the agent of a cluster resolves all its members', () => {
  const agent = only(clusters.blueprints(cluster.desired).agents.values())
  assert.equal(agent.extraHosts.filter((line) => line.startsWith('member-')).length, 3)
})
