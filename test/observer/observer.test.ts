/** The whole observer over an engine in memory: what a pass costs, who is woken, and what stays unknown. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import type { Desired } from '../../src/domain/desired.ts'
import { label, resourceNames } from '../../src/domain/names.ts'
import type { ObjectListing } from '../../src/observer/archives.ts'
import { createObserver, type LiveObserver, type ObserverOptions } from '../../src/observer/observer.ts'
import { sampleDatabase } from '../executor/sample.ts'
import { FakeEngine, installation } from './fakeEngine.ts'

const signal = AbortSignal.timeout(60_000)
const names = resourceNames(installation)
const sample = await sampleDatabase({
  // a port of the discard service: nothing listens there
  installation, privateAddress: '127.0.0.1', images: { postgres: 'i', haproxy: 'i' }, now: new Date(), subnet: '10.0.0.0/28', firstPort: 9,
})
const [instance] = sample.desired.instances
assert.ok(instance !== undefined)
const desired: Desired = { ...sample.desired, instances: [{ ...instance, initialisedAt: new Date() }] }
const databaseId = desired.database.id
const ours = { [label.database]: databaseId, [label.project]: desired.project.id }

class HandClock {
  aheadMs = 0
  now(): Date {
    return new Date(Date.now() + this.aheadMs)
  }
}

interface Rig {
  readonly engine: FakeEngine
  readonly observer: LiveObserver
  readonly clock: HandClock
  readonly woken: string[]
  readonly store: { checks: number; lists: number; failure: Error | null; newest: string | null }
}

async function observing(t: TestContext, over: Partial<ObserverOptions> = {}): Promise<Rig> {
  const engine = new FakeEngine()
  const clock = new HandClock()
  const store: Rig['store'] = { checks: 0, lists: 0, failure: null, newest: null }
  const observer = createObserver({
    installation, clock, log: { info() {}, warn() {} }, engineOf: () => engine, identity: () => sample.controller, etcd: { list: async () => ({ entries: [], revision: 1 }) }, readPatroni: async () => Promise.reject(new Error('there is none')),
    store: { bucket: 'b', listing: listingOf(store), check: async () => { store.checks += 1; if (store.failure !== null) throw store.failure } },
    timing: { confirmMs: 60_000, heartbeatMs: 60_000 },
    ...over,
  })
  t.after(() => observer.close())
  const woken: string[] = []
  observer.subscribe((id) => woken.push(id))
  return { engine, observer, clock, woken, store }
}

function listingOf(store: Rig['store']): ObjectListing {
  return {
    async listPrefixes(_bucket, prefix) {
      store.lists += 1
      if (store.failure !== null) throw store.failure
      return store.newest === null ? [] : prefix.endsWith('/17-1/') ? [`${prefix}${store.newest.slice(0, 16)}/`] : [`${prefix}17-1/`]
    },
    async *listObjects(_bucket, prefix) {
      store.lists += 1
      if (store.newest !== null) yield { key: `${prefix}${prefix.endsWith('main/') ? '17-1/x/' : ''}${store.newest}-${'a'.repeat(40)}.zst`, modifiedAt: new Date(5) }
    },
  }
}

async function until(claim: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + 3_000
  while (!holds()) {
    assert.ok(performance.now() < limit, `not within 3 s: ${claim}`)
    await sleep(2)
  }
}

test('events before the first pass wake the database, and a pass costs no engine call', async (t) => {
  const { engine, observer, woken } = await observing(t)
  observer.watch(desired.hosts)
  await observer.observe(desired, signal)
  engine.put('a', names.agent(instance.id), 'running', ours, 'start')
  assert.deepEqual(woken.slice(-1), [databaseId])
  const calls = { ...engine.calls }
  for (let pass = 0; pass < 20; pass += 1) {
    const observed = await observer.observe(desired, signal)
    const seen = observed.engines.get(desired.hosts[0]?.id ?? '')
    assert.ok(seen?.known)
    assert.deepEqual(seen.value.containers.map(({ name, state }) => [name, state]), [[names.agent(instance.id), 'running']])
  }
  assert.deepEqual(engine.calls, calls)
})

test('a network of the project wakes the databases of the project that passes told of', async (t) => {
  const { engine, observer, woken } = await observing(t)
  await observer.observe(desired, signal)
  woken.length = 0
  const id = 'n1'
  const name = names.network(desired.project.id)
  engine.networks.set(id, { id, name, labels: { [label.installation]: installation, [label.project]: desired.project.id }, subnets: [] })
  engine.tell('network', 'create', id, name)
  await until('it is woken', () => woken.includes(databaseId))
})

test('a member that runs but does not answer is unknown with the reason, and is asked again by the next pass', async (t) => {
  const { engine, observer } = await observing(t)
  const [member] = instance.members
  assert.ok(member !== undefined)
  engine.put('m', names.member(member.id), 'running', ours, 'start')
  engine.put('e', names.endpoint(desired.endpoint?.id ?? '', 0), 'running', ours, 'start')
  const { postgres, proxies } = await observer.observe(desired, signal)
  assert.deepEqual([...postgres], [[member.id, { known: false, reason: 'nothing listens there' }]])
  assert.deepEqual([...proxies], [[`${desired.endpoint?.id ?? ''}/0`, { known: false, reason: 'nothing listens there' }]])
  engine.put('m', names.member(member.id), 'exited', ours, 'die', 1)
  assert.equal((await observer.observe(desired, signal)).postgres.size, 0)
})

test('a job shows its progress while it runs, and its result once it has ended, for one log call a change', async (t) => {
  const { engine, observer, clock } = await observing(t)
  await observer.observe(desired, signal)
  const labels = { ...ours, [label.kind]: 'job', [label.job]: 'j1' }
  const see = async () => {
    const seen = (await observer.observe(desired, signal)).jobs.get('j1')
    assert.ok(seen?.known)
    return [seen.value.progress, seen.value.result]
  }
  engine.put('j', names.job('j1'), 'created', labels, 'create')
  assert.deepEqual(await see(), [null, null])
  engine.output.set('j', '{"step": "copying", "percent": 12}\n')
  engine.put('j', names.job('j1'), 'running', labels, 'start')
  assert.deepEqual(await see(), [{ step: 'copying', percent: 12 }, null])
  await see()
  assert.equal(engine.calls.logs, 1)
  clock.aheadMs = 500
  await see()
  assert.equal(engine.calls.logs, 2)
  engine.output.set('j', '{"step": "copying", "percent": 99}\n{"ok": true, "facts": {"label": "L"}}\n')
  engine.put('j', names.job('j1'), 'exited', labels, 'die', 0)
  clock.aheadMs = 3_600_000
  assert.deepEqual(await see(), [{ step: 'copying', percent: 99 }, { ok: true, facts: { label: 'L' } }])
  await see()
  assert.equal(engine.calls.logs, 3)
  observer.forget(databaseId)
  await see()
  assert.equal(engine.calls.logs, 4)
})

test('the archive is looked at behind the pass, which is woken when it changed', async (t) => {
  const { observer, clock, woken, store } = await observing(t)
  const archive = async () => (await observer.observe(desired, signal)).archives.get(instance.id)
  assert.equal((await archive())?.known, false)
  await until('the first look wakes', () => woken.includes(databaseId))
  const first = await archive()
  assert.deepEqual(first?.known && first.value, { newestWalFile: null, newestAt: null })
  const lists = store.lists
  await archive()
  assert.equal(store.lists, lists)
  woken.length = 0
  store.newest = '000000010000000000000007'
  clock.aheadMs += 60_000
  await archive()
  await until('the change wakes', () => woken.includes(databaseId))
  const second = await archive()
  assert.deepEqual(second?.known && second.value, { newestWalFile: '000000010000000000000007', newestAt: new Date(5) })
})

test('a store that is away is unknown, asked again after a while only, and never delays a pass for long', async (t) => {
  const { observer, clock, store } = await observing(t)
  store.failure = new Error('connection refused')
  const see = async () => (await observer.observe(desired, signal)).objectStore
  assert.deepEqual(await see(), { known: false, reason: 'connection refused' })
  await see()
  assert.equal(store.checks, 1)
  store.failure = null
  clock.aheadMs += 5_000
  assert.equal((await see()).known, true)
  clock.aheadMs += 14_000
  await see()
  assert.equal(store.checks, 2)
})

test('a store that hangs costs a pass a second at most', async (t) => {
  const { observer } = await observing(t, {
    store: { bucket: 'b', listing: listingOf({ checks: 0, lists: 0, failure: null, newest: null }), check: () => new Promise(() => {}) },
  })
  const started = performance.now()
  const { objectStore } = await observer.observe(desired, signal)
  assert.equal(objectStore.known, false)
  assert.ok(performance.now() - started < 1_500)
})

test('a pass that is given up ends with the reason', async (t) => {
  const { observer } = await observing(t)
  await assert.rejects(observer.observe(desired, AbortSignal.abort(new Error('lease lost'))), /lease lost/)
})
