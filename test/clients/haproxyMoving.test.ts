/** A real proxy in front of a server and a cluster that follows it, both of which only look like it: who gets clients while they are moved. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { showServersState, type RuntimeAddress } from '../../src/clients/haproxy.ts'
import type { Instance } from '../../src/domain/desired.ts'
import { internalName, resourceNames } from '../../src/domain/names.ts'
import { ClientRoutes } from '../../src/executor/cutover/clients.ts'
import { endpointBlueprint } from '../../src/render/endpointBlueprint.ts'
import { openRig, privateAddress } from '../executor/rig.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { testImages } from '../observer/images.ts'
import { openFakeCluster, visit, type FakeCluster, type Visit } from './fakeCluster.ts'

const publicBind = '127.0.0.1'
const signal = AbortSignal.timeout(120_000)
/** Checks come every half second, and two in a row count. */
const checkedMs = 2_000
const longMs = 60_000
const rig = await openRig({ images: await testImages(), signal })
const { installation, sample: { desired: sampled, authority, controller } } = rig
const [instance] = sampled.instances
const [host] = sampled.hosts
const { endpoint } = sampled
const [proxy] = endpoint?.proxies ?? []
assert.ok(instance !== undefined && host !== undefined && endpoint !== null && proxy !== undefined)
const address: RuntimeAddress = {
  host: privateAddress, port: proxy.ports.runtime, serverName: internalName.endpoint(endpoint.id),
  ca: sampled.trustBundlePem, cert: controller.certificatePem, key: controller.keyPem, timeoutMs: 2_000,
}
let cluster: FakeCluster
/** Only the first of them is there for anybody. */
let server: FakeCluster
let routes: ClientRoutes
let following: Instance
const visits: Visit[] = []

const readWrite = async (): Promise<Visit> => {
  const made = await visit(publicBind, proxy.ports.rw)
  visits.push(made)
  return made
}
const named = ({ names }: FakeCluster, index: number): string => {
  const name = names[index]
  assert.ok(name !== undefined)
  return name
}

before(async () => {
  cluster = await openFakeCluster({ authority, hostId: host.id, instanceId: instance.id, address: privateAddress })
  server = await openFakeCluster({ authority, hostId: host.id, instanceId: instance.id, address: privateAddress })
  const [standalone] = server.members
  assert.ok(standalone !== undefined)
  following = { ...instance, id: cluster.members[0]?.id ?? '', kind: 'cluster', role: 'preparing', members: cluster.members }
  const desired = { ...sampled, instances: [{ ...instance, members: [standalone] }, following] }
  const blueprint = endpointBlueprint({ installation, publicBind }, desired, endpoint, proxy)
  assert.ok(blueprint !== null)
  const network = { kind: 'createNetwork', hostId: host.id, name: resourceNames(installation).network(desired.project.id), subnet: desired.networks[0]?.subnet ?? '', projectId: desired.project.id } as const
  await rig.executor.apply(network, desired, signal)
  await rig.executor.apply({ kind: 'createContainer', blueprint }, desired, signal)
  routes = new ClientRoutes({ cluster: following, proxies: [address] })
})

after(async () => {
  for (const { socket } of visits) socket.destroy()
  cluster.close()
  server.close()
  await rig.sweep()
})

const takesClients = async (): Promise<readonly string[]> =>
  (await showServersState(address)).filter(({ backend, operational }) => backend === 'be_rw' && operational === 'running').map(({ server: name }) => name)

async function take(expected: readonly string[]): Promise<void> {
  await until(`${expected.join()} to take clients`, async () => {
    const taking = await takesClients()
    return taking.join() === expected.join() ? true : new NotYet(taking.join())
  }, { limitMs: 10_000, everyMs: 20 })
}

const ended = (session: Visit): Promise<unknown> => until('the session to end', async () => (session.isClosed() ? true : new NotYet('open')), { limitMs: 10_000, everyMs: 20 })

test('clients meet the server, although it has no checks and the members have', async () => {
  const met = await until('the proxy to listen', async () => {
    const made = await readWrite()
    return made.met === 'closed' ? new NotYet('closed') : made.met
  }, { limitMs: 30_000, everyMs: 20 })
  assert.equal(met, named(server, 0))
  await take(['standalone'])
})

test('a member that is lent to readers keeps getting clients, whatever its checks say', async () => {
  const [follower] = [named(cluster, 0)]
  await routes.lendMember(follower, longMs, signal)
  const since = performance.now()
  await until('several checks to have failed', async () => {
    assert.equal((await readWrite()).met, follower)
    return performance.now() - since > checkedMs ? true : new NotYet('going on')
  }, { limitMs: 10_000 })
})

test('it is led back to the server, and those who were reading are let go', async () => {
  const reading = await readWrite()
  await routes.letGo(signal)
  assert.equal((await readWrite()).met, named(server, 0))
  await take(['standalone'])
  await ended(reading)
})

test('a member that was lent by somebody who died is asked by its checks again', async () => {
  await routes.lendMember(named(cluster, 1), 300, signal)
  await take([])
  await routes.letGo(signal)
  assert.equal((await readWrite()).met, named(server, 0))
})

test('whoever reads at a member that is promoted stays there, and the checks agree', async () => {
  const leader = named(cluster, 2)
  await routes.lendMember(leader, longMs, signal)
  const reading = await readWrite()
  cluster.state = { leader, isPromoted: true }
  await routes.toMember(leader, signal)
  await take([leader])
  const since = performance.now()
  await until('its checks to have been asked', async () => {
    assert.deepEqual(await takesClients(), [leader])
    return performance.now() - since > checkedMs ? true : new NotYet('going on')
  }, { limitMs: 10_000 })
  assert.deepEqual([reading.met, reading.isClosed()], [leader, false])
})

test('another member than the one that was lent may come to lead', async () => {
  await routes.lendMember(named(cluster, 0), longMs, signal)
  await routes.toMember(named(cluster, 2), signal)
  await take([named(cluster, 2)])
})

test('back at the server, nobody is left at a member', async () => {
  const writing = await readWrite()
  assert.equal(writing.met, named(cluster, 2))
  await routes.toStandalone(signal)
  assert.equal((await readWrite()).met, named(server, 0))
  await ended(writing)
})

test('a proxy that is gone keeps nobody waiting who goes on at the other one; whoever stays is led by both', async () => {
  const gone: RuntimeAddress = { ...address, port: 1 }
  const both = new ClientRoutes({ cluster: following, proxies: [gone, address] })
  await both.toMember(named(cluster, 2), signal, 'left')
  await take([named(cluster, 2)])
  await assert.rejects(both.toStandalone(AbortSignal.timeout(2_000)), { code: 'MemberUnreachable' })
  assert.equal((await readWrite()).met, named(server, 0))
  const nobody = new ClientRoutes({ cluster: following, proxies: [gone] })
  await assert.rejects(nobody.toMember(named(cluster, 2), AbortSignal.timeout(500), 'left'), { code: 'MemberUnreachable' })
})
