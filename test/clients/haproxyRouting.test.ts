/** A real proxy in front of members that only look like it: where clients are sent, how soon, and what happens to those who wait. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pausePool, resumePool, spareReads } from '../../src/clients/haproxy/pooling.ts'
import { applyRouting, leaderGone, leaderIs, leaderStays } from '../../src/clients/haproxy/routing.ts'
import { loadedRevision, runtimeCommand, showServersState, type RuntimeAddress } from '../../src/clients/haproxy.ts'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { internalName, resourceNames } from '../../src/domain/names.ts'
import { endpointBlueprint } from '../../src/render/endpointBlueprint.ts'
import { openRig, privateAddress } from '../executor/rig.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { testImages } from '../observer/images.ts'
import { openFakeCluster, visit, type FakeCluster, type Visit } from './fakeCluster.ts'

const testMs = 180_000
const turns = 60
const patienceMs = 3_000
/** As pooler.lua has it. */
const poolLimitMs = 7_000
/** Checks of replicas come every second. */
const checkedMs = 300
const signal = AbortSignal.timeout(testMs)
const publicBind = '127.0.0.1'
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
const visits: Visit[] = []

const readWrite = async (): Promise<Visit> => kept(await visit(publicBind, proxy.ports.rw))
const readOnly = async (): Promise<Visit> => kept(await visit(publicBind, proxy.ports.ro))
const name = (index: number): string => {
  const found = cluster.names[index]
  assert.ok(found !== undefined)
  return found
}

function kept(made: Visit): Visit {
  visits.push(made)
  return made
}

/** What the proxy is made from, with the cluster's members as they are now. */
function desiredWith(members: FakeCluster['members']): { readonly desired: typeof sampled; readonly blueprint: Blueprint } {
  assert.ok(instance !== undefined && endpoint !== null && proxy !== undefined)
  const desired = { ...sampled, database: { ...sampled.database, topology: 'ha' as const }, instances: [{ ...instance, kind: 'cluster' as const, members }] }
  const blueprint = endpointBlueprint({ installation, publicBind }, desired, endpoint, proxy)
  assert.ok(blueprint !== null)
  return { desired, blueprint }
}

before(async () => {
  cluster = await openFakeCluster({ authority, hostId: host.id, instanceId: instance.id, address: privateAddress })
  cluster.state = { leader: name(0), isPromoted: true }
  const { desired, blueprint } = desiredWith(cluster.members)
  const names = resourceNames(installation)
  const network = { kind: 'createNetwork', hostId: host.id, name: names.network(desired.project.id), subnet: desired.networks[0]?.subnet ?? '', projectId: desired.project.id } as const
  await rig.executor.apply(network, desired, signal)
  await rig.executor.apply({ kind: 'createContainer', blueprint }, desired, signal)
})

after(async () => {
  for (const { socket } of visits) socket.destroy()
  cluster.close()
  await rig.sweep()
})

async function readersMeet(): Promise<ReadonlySet<string>> {
  const readers = await Promise.all(Array.from({ length: 6 }, readOnly))
  for (const { socket } of readers) socket.destroy()
  return new Set(readers.map(({ met }) => met))
}

/** What the checks have found out: the running servers of be_rw. */
async function leads(expected: readonly string[]): Promise<void> {
  await until(`${expected.join()} to lead`, async () => {
    const running = (await showServersState(address)).filter(({ backend, operational }) => backend === 'be_rw' && operational === 'running').map(({ server }) => server)
    return running.join() === expected.join() ? true : new NotYet(running.join())
  }, { limitMs: 10_000, everyMs: 20 })
}

test('a client that comes before the first check meets the leader and nobody else', async () => {
  const first = await until('the proxy to listen', async () => {
    const made = await readWrite()
    return made.met === 'closed' ? new NotYet('closed') : made.met
  }, { limitMs: 30_000, everyMs: 20 })
  assert.equal(first, name(0))
  const early = await Promise.all(Array.from({ length: 10 }, readWrite))
  assert.deepEqual([...new Set(early.map(({ met }) => met))], [name(0)])
})

test('reads go to the replicas', async () => {
  await leads([name(0)])
  await until('both replicas to be used', async () => {
    const met = new Set((await Promise.all(Array.from({ length: 6 }, readOnly))).map((made) => made.met))
    return met.size === 2 && !met.has(name(0)) ? true : new NotYet([...met].join())
  })
})

test('without a leader new clients wait, and are let in as soon as the controller says who leads', async () => {
  const old = await readWrite()
  cluster.state = { leader: null, isPromoted: true }
  await applyRouting(address, leaderGone(name(0)))
  // at once, while the checks still take the former leader for well
  const waiting = readWrite()
  await leads([])
  cluster.state = { leader: name(1), isPromoted: true }
  await applyRouting(address, leaderIs(name(1), [name(0), name(2)]))
  await until('the session on the former leader to end', async () => (old.isClosed() ? true : new NotYet('open')), { limitMs: 4_000, everyMs: 5 })
  const letIn = await waiting
  assert.equal(letIn.met, name(1))
  await leads([name(1)])
  assert.equal(letIn.isClosed(), false, 'the checks agree')
})

test('without the controller the checks find the new leader, and only once it is out of recovery', async () => {
  cluster.state = { leader: name(2), isPromoted: false }
  await leads([])
  let promoted = false
  const waiting = readWrite().then((made) => ({ met: made.met, wasPromoted: promoted }))
  await applyRouting(address, [])
  await leads([])
  promoted = true
  cluster.state = { leader: name(2), isPromoted: true }
  assert.deepEqual(await waiting, { met: name(2), wasPromoted: true })
})

for (const [how, tell] of [['told by the controller', true], ['found by the checks alone', false]] as const) test(`clients that keep coming while the lead passes on, ${how}, are let in or let go, never forgotten`, async (t) => {
  let longest = 0
  for (let turn = 0; turn < turns; turn += 1) {
    const [former, next] = [name(turn % 2), name((turn + 1) % 2)]
    cluster.state = { leader: former, isPromoted: true }
    cluster.dead.clear()
    await applyRouting(address, leaderIs(former, [next, name(2)]))
    await until('the former leader to take clients', async () => ((await readWrite()).met === former ? true : new NotYet('not yet')), { everyMs: 5 })
    cluster.dead.add(former)
    const ending = new AbortController()
    const clients = Array.from({ length: 8 }, async () => {
      for (;;) {
        const made = await Promise.race([readWrite(), forgotten(ending.signal)])
        longest = Math.max(longest, made.waitedMs)
        made.socket.destroy()
        if (made.met === next) return
        await sleep(1)
      }
    })
    await sleep(20 + turn % 10)
    cluster.state = { leader: next, isPromoted: true }
    if (tell) await applyRouting(address, leaderIs(next, [former, name(2)]))
    await Promise.all(clients)
    ending.abort()
  }
  cluster.dead.clear()
  cluster.state = { leader: name(2), isPromoted: true }
  await leads([name(2)])
  t.diagnostic(`of ${turns} turns the longest wait was ${Math.round(longest)} ms`)
})

/** A client's patience, far above what any of them waits for. */
async function forgotten(signal: AbortSignal): Promise<never> {
  await sleep(patienceMs, undefined, { signal, ref: false })
  throw new Error(`a client was forgotten: neither let in nor let go within ${patienceMs} ms`)
}

test('a leader that stays after all gets those who wait', async () => {
  await applyRouting(address, leaderGone(name(2)))
  const waiting = readWrite()
  await applyRouting(address, leaderStays(name(2)))
  assert.equal((await waiting).met, name(2))
})

test('what the controller says wrongly is corrected by the next checks', async () => {
  await applyRouting(address, leaderGone(name(2)))
  await leads([name(2)])
  await applyRouting(address, leaderIs(name(0), []))
  await leads([name(2)])
})

test('reads go to the leader while there is no replica', async () => {
  for (const replica of [name(0), name(1)]) await runtimeCommand(address, `set server be_ro/${replica} state maint`)
  assert.equal((await readOnly()).met, name(2))
  for (const replica of [name(0), name(1)]) await runtimeCommand(address, `set server be_ro/${replica} state ready`)
})

test('the pool is paused and resumed by word, any number of times', async () => {
  for (let time = 0; time < 2; time += 1) {
    assert.equal(await pausePool(address, 200), 'paused')
    assert.equal(await pausePool(address, 200), 'paused')
    assert.equal(await runtimeCommand(address, 'holdfast resume'), 'resumed')
    await resumePool(address)
    assert.equal(await runtimeCommand(address, 'holdfast resume'), 'was not paused')
  }
})

test('a pool that nobody resumes resumes by itself', async () => {
  assert.equal(await pausePool(address, 200), 'paused')
  // whoever asked would resume it
  await sleep(poolLimitMs + patienceMs)
  assert.equal(await runtimeCommand(address, 'holdfast resume'), 'was not paused')
})

test('a replica that is spared gets no new readers for a while, although its checks go well', async () => {
  const replicas = [name(0), name(1)]
  await until('both replicas to be used', async () => {
    const met = await readersMeet()
    return replicas.every((one) => met.has(one)) && met.size === 2 ? true : new NotYet([...met].join())
  })
  assert.equal(await spareReads(address, name(1), 200), 'spared')
  for (let round = 0; round < 8; round += 1) {
    assert.deepEqual([...await readersMeet()], [name(0)])
    await sleep(checkedMs)
  }
  await until('it to be used again', async () => ((await readersMeet()).size === 2 ? true : new NotYet('spared')), { limitMs: 30_000 })
  await assert.rejects(spareReads(address, 'nobody', 200), (error) => isHoldfastError(error) && /No such server/.test(error.message))
  await assert.rejects(spareReads(address, 'm1; disable server be_rw/m2', 200), RangeError)
})

test('another list of members reaches the proxy without a new container, and whoever is connected stays', async () => {
  const before = await readWrite()
  const { desired, blueprint } = desiredWith(cluster.members.slice(1))
  const { id: containerId } = await rig.engine.inspectContainer(blueprint.name, signal)
  assert.equal(blueprint.specHash, desiredWith(cluster.members).blueprint.specHash)
  await rig.executor.apply({ kind: 'installFiles', blueprint, containerId }, desired, signal)
  await until('the new configuration to be in use', async () => ((await loadedRevision(address)) === blueprint.configHash ? true : new NotYet('the former one')), { everyMs: 50 })
  const servers = (await showServersState(address)).filter(({ backend }) => backend === 'be_rw').map(({ server }) => server)
  assert.deepEqual(servers, [name(1), name(2)])
  const { met: metNow } = await readWrite()
  assert.deepEqual([before.met, metNow, before.isClosed()], [name(2), name(2), false])
})

test('a server that there is not is told, after the others were done', async () => {
  const steps = [...leaderIs('nobody', []), ...leaderGone(name(2))]
  await assert.rejects(applyRouting(address, steps), (error) => isHoldfastError(error) && /No such server/.test(error.message))
  await assert.rejects(applyRouting(address, leaderIs('m1; disable server be_rw/m2', [])), RangeError)
})

test('a client for whom nobody comes is let go after some seconds', async () => {
  cluster.state = { leader: null, isPromoted: true }
  await leads([])
  const { met, waitedMs } = await readWrite()
  assert.equal(met, 'closed')
  assert.ok(waitedMs > 6_500 && waitedMs < 9_500, `${waitedMs} ms`)
})
