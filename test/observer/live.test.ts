/** The observer over the real engine, with a real member and proxy. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { label, resourceNames } from '../../src/domain/names.ts'
import type { Observed } from '../../src/domain/observed.ts'
import { connectEngine } from '../../src/clients/docker.ts'
import { HostWatch } from '../../src/observer/hostWatch.ts'
import { createObserver, type ObservedEngine } from '../../src/observer/observer.ts'
import { openDoor } from './door.ts'
import { openMember } from './memberRig.ts'

const rig = await openMember()
const { desired, engine, host, member, signal } = rig
const names = resourceNames(rig.installation)
const databaseId = desired.database.id
const proxyKey = `${desired.endpoint?.id ?? ''}/0`
let engineCalls = 0

const observer = createObserver({
  installation: rig.installation,
  clock: { now: () => new Date() },
  log: { info() {}, warn() {} },
  engineOf: () => counted(engine),
  identity: () => rig.controller,
  etcd: { list: async () => ({ entries: [], revision: 1 }) },
  readPatroni: async () => Promise.reject(new Error('there is none')),
  store: { bucket: 'none', listing: { listPrefixes: async () => [], async *listObjects() {} }, check: async () => true },
})

function counted(inner: ObservedEngine): ObservedEngine {
  const count = <Arguments extends unknown[], Result>(call: (...args: Arguments) => Result) => (...args: Arguments): Result => {
    engineCalls += 1
    return call(...args)
  }
  return {
    engine: inner.engine, events: count(inner.events), listContainers: count(inner.listContainers), listVolumes: count(inner.listVolumes),
    listNetworks: count(inner.listNetworks), findVolume: count(inner.findVolume), findNetwork: count(inner.findNetwork), logs: count(inner.logs),
  }
}

const look = (): Promise<Observed> => observer.observe(desired, signal)

async function until(claim: string, holds: (observed: Observed) => boolean): Promise<Observed> {
  const limit = performance.now() + 20_000
  for (;;) {
    const observed = await look()
    if (holds(observed)) return observed
    assert.ok(performance.now() < limit, `not within 20 s: ${claim}`)
    await sleep(50)
  }
}

/** The next wake of our database: how long after `since` it came. */
async function nextWake(since: () => number): Promise<number> {
  const woken = Promise.withResolvers<number>()
  const end = observer.subscribe((id) => { if (id === databaseId) woken.resolve(performance.now() - since()) })
  try {
    return await woken.promise
  } finally {
    end()
  }
}

const median = (values: readonly number[]): number => values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? NaN

before(async () => {
  observer.watch(desired.hosts)
  await look()
  await rig.startMember()
  await rig.startProxy()
})
after(async () => {
  await observer.close()
  await rig.sweep()
})

test('everything that was made is seen: containers, volumes, the network, and what servers say', async () => {
  const observed = await until('all answer', ({ postgres, proxies }) => postgres.get(member.id)?.known === true && proxies.get(proxyKey)?.known === true)
  const seen = observed.engines.get(host.id)
  assert.ok(seen?.known)
  assert.deepEqual(seen.value.containers.map(({ name, state }) => `${name} ${state}`).sort(), [rig.memberBlueprint().name, rig.proxyBlueprint().name].map((name) => `${name} running`).sort())
  assert.deepEqual(seen.value.containers.find(({ name }) => name === rig.memberBlueprint().name)?.labels[label.spec], rig.memberBlueprint().specHash)
  assert.ok(seen.value.volumes.some(({ name }) => name === names.dataVolume(member.id)))
  assert.deepEqual(seen.value.networks.map(({ name }) => name), [names.network(desired.project.id)])
  const postgres = observed.postgres.get(member.id)
  const proxy = observed.proxies.get(proxyKey)
  assert.equal(postgres?.known && postgres.value.configHash, rig.memberBlueprint().configHash)
  assert.equal(proxy?.known && proxy.value.configHash, rig.proxyBlueprint().configHash)
})

test('a settled pass makes no engine call and costs little', async (t) => {
  for (let warm = 0; warm < 50; warm += 1) await look()
  const calls = engineCalls
  const rounds: number[] = []
  for (let round = 0; round < 5; round += 1) {
    const before = process.cpuUsage()
    for (let pass = 0; pass < 50; pass += 1) await look()
    const { user, system } = process.cpuUsage(before)
    rounds.push((user + system) / 1_000 / 50)
  }
  t.diagnostic(`CPU of a settled look: ${rounds.map((ms) => ms.toFixed(3)).join(', ')} ms`)
  assert.ok(Math.min(...rounds) < 1, `${Math.min(...rounds)} ms CPU`)
  assert.equal(engineCalls, calls)
})

test('the death of a container is told within a tenth of a second, and what it was asked for starts anew', async (t) => {
  const took: number[] = []
  const container = rig.proxyBlueprint().name
  for (let time = 0; time < 5; time += 1) {
    await until('the proxy answers', ({ proxies }) => proxies.get(proxyKey)?.known === true)
    // from the exit of its process, as the engine itself dates it
    const told = nextWake(() => 0).then(() => Date.now())
    await engine.killContainer(container, 'SIGKILL', signal)
    const toldAt = await told
    const { finishedAt } = await engine.inspectContainer(container, signal)
    took.push(toldAt - (finishedAt?.getTime() ?? 0))
    const dead = (await look()).engines.get(host.id)
    const seen = dead?.known === true ? dead.value.containers.find(({ name }) => name === container) : undefined
    assert.deepEqual([seen?.state, seen?.exitCode], ['exited', 137])
    await engine.startContainer(container, signal)
  }
  t.diagnostic(`from death to wake: ${took.join(', ')} ms`)
  assert.ok(median(took) <= 100, `${took.join(', ')} ms`)
})

test('a server that restarts within its container is unknown meanwhile, with a reason, and known again', async () => {
  const old = await until('it answers', ({ postgres }) => postgres.get(member.id)?.known === true)
  const before = old.postgres.get(member.id)
  const name = rig.memberBlueprint().name
  await engine.exec(name, ['s6-svc', '-d', '/run/service/postgres'], {}, signal)
  observer.forget(databaseId)
  const down = await until('it does not answer', ({ postgres }) => {
    observer.forget(databaseId)
    return postgres.get(member.id)?.known === false
  })
  const seen = down.postgres.get(member.id)
  assert.match(seen?.known === false ? seen.reason : '', /nothing listens|starting up|ended the session|reset|closed/)
  const state = (await engine.inspectContainer(name, signal)).state
  if (state === 'running') await engine.exec(name, ['s6-svc', '-u', '/run/service/postgres'], {}, signal)
  else await engine.startContainer(name, signal)
  const again = (await until('it answers again', ({ postgres }) => postgres.get(member.id)?.known === true)).postgres.get(member.id)
  assert.equal(again?.known && before?.known && again.value.systemIdentifier, before?.known && before.value.systemIdentifier)
})

test('what is removed by hand is seen gone', async () => {
  const told = nextWake(() => 0)
  await engine.removeContainer(rig.proxyBlueprint().name, { force: true }, signal)
  await told
  await until('it is gone', ({ engines, proxies }) => {
    const seen = engines.get(host.id)
    return proxies.size === 0 && seen?.known === true && seen.value.containers.length === 1
  })
})

test('an engine whose connections break is unknown, and seen again when it answers again', async (t) => {
  const door = await openDoor(engine.engine)
  const watch = new HostWatch({
    engine: connectEngine({ engine: door.engine }), installation: rig.installation, clock: { now: () => new Date() },
    log: { info() {}, warn() {} }, onAffected() {},
  })
  t.after(async () => {
    await watch.close()
    await door.close()
  })
  const isKnown = async (wanted: boolean): Promise<void> => {
    const limit = performance.now() + 10_000
    while (watch.seen(databaseId, desired.project.id).known !== wanted) {
      assert.ok(performance.now() < limit, `not within 10 s: known = ${wanted}`)
      await sleep(10)
    }
  }
  await isKnown(true)
  door.shut()
  await isKnown(false)
  // what happens meanwhile is not missed
  await engine.removeContainer(rig.memberBlueprint().name, { force: true }, signal)
  door.open()
  await isKnown(true)
  const seen = watch.seen(databaseId, desired.project.id)
  assert.deepEqual(seen.known && seen.value.containers, [])
})
