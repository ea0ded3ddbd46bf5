import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { label } from '../../src/domain/names.ts'
import { HostWatch } from '../../src/observer/hostWatch.ts'
import type { WatchTiming } from '../../src/observer/timing.ts'
import { FakeEngine, installation } from './fakeEngine.ts'

const ours = { [label.database]: 'd1', [label.project]: 'p1' }
const never = new AbortController().signal
const quick: Partial<WatchTiming> = { confirmMs: 20, heartbeatMs: 20, heartbeatTimeoutMs: 40, resyncMs: 60_000, retryMs: 5, longestRetryMs: 20, graceMs: 30 }

interface Rig { readonly engine: FakeEngine; readonly watch: HostWatch; readonly told: string[]; readonly warnings: string[] }

async function watching(t: TestContext, timing: Partial<WatchTiming> = {}, prepare: (engine: FakeEngine) => void = () => {}): Promise<Rig> {
  const engine = new FakeEngine()
  prepare(engine)
  const told: string[] = []
  const warnings: string[] = []
  const watch = new HostWatch({
    engine, installation, clock: { now: () => new Date() },
    log: { info: () => {}, warn: (_fields, message) => warnings.push(message) },
    onAffected: ({ databases, projects }) => told.push(...databases, ...projects),
    timing: { ...quick, ...timing },
  })
  t.after(() => watch.close())
  await watch.firstAttempt(1_000, never)
  return { engine, watch, told, warnings }
}

function containers(watch: HostWatch): string {
  const seen = watch.seen('d1', 'p1')
  return seen.known ? seen.value.containers.map(({ name, state, exitCode }) => `${name} ${state} ${exitCode ?? '-'}`).join(', ') : `unknown: ${seen.reason}`
}

async function until(claim: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + 3_000
  while (!holds()) {
    assert.ok(performance.now() < limit, `not within 3 s: ${claim}`)
    await sleep(2)
  }
}

test('the first list is seen at once, and events keep it current without any call', async (t) => {
  const { engine, watch, told } = await watching(t, { confirmMs: 60_000 }, (one) => one.put('a', 'db', 'running', ours, 'start'))
  assert.equal(containers(watch), 'db running -')
  assert.deepEqual(told, ['d1'])
  const calls = { ...engine.calls }
  told.length = 0
  engine.put('a', 'db', 'exited', ours, 'die', 137)
  assert.equal(containers(watch), 'db exited 137')
  engine.put('a', 'db', 'running', ours, 'start')
  assert.equal(containers(watch), 'db running 137')
  engine.put('a', 'db', 'paused', ours, 'pause')
  assert.equal(containers(watch), 'db paused 137')
  engine.remove('a')
  assert.equal(containers(watch), '')
  assert.deepEqual(told, ['d1', 'd1', 'd1', 'd1'])
  assert.deepEqual(engine.calls, calls)
})

test('strangers and events that change nothing wake nobody', async (t) => {
  const { engine, told } = await watching(t, { confirmMs: 60_000 })
  engine.tell('container', 'start', 'x', 'x', { [label.installation]: 'another', ...ours })
  engine.tell('container', 'exec_start: sh', 'a', 'db', { [label.installation]: installation, ...ours })
  engine.tell('volume', 'create', 'foreign', 'foreign')
  engine.tell('volume', 'mount', `${installation}-data-1`, `${installation}-data-1`)
  await sleep(5)
  assert.deepEqual(told, [])
  assert.equal(engine.calls.find, 0)
})

test('a new volume or network is looked at for its labels; its end needs no look', async (t) => {
  const { engine, watch, told } = await watching(t, { confirmMs: 60_000, heartbeatMs: 60_000 })
  const name = `${installation}-data-1`
  const labels = { [label.installation]: installation, ...ours }
  engine.volumes.set(name, { name, labels, options: {} })
  engine.tell('volume', 'create', name, name)
  engine.networks.set('n1', { id: 'n1', name: `${installation}-net-1`, labels: { [label.installation]: installation, [label.project]: 'p1' }, subnets: [] })
  engine.tell('network', 'create', 'n1', `${installation}-net-1`)
  await until('both are told', () => told.includes('d1') && told.includes('p1'))
  const seen = watch.seen('d1', 'p1')
  assert.ok(seen.known)
  assert.deepEqual([seen.value.volumes.map((one) => one.name), seen.value.networks.map((one) => one.id)], [[name], ['n1']])
  engine.tell('volume', 'destroy', name, name)
  engine.tell('network', 'destroy', 'n1', `${installation}-net-1`)
  const later = watch.seen('d1', 'p1')
  assert.deepEqual(later.known && later.value, { containers: [], volumes: [], networks: [] })
  assert.equal(engine.calls.find, 2)
})

test('an event that comes while the first list is under way wins over it', async (t) => {
  const gate = Promise.withResolvers<undefined>()
  const engine = new FakeEngine()
  engine.put('a', 'db', 'running', ours, 'start')
  engine.beforeList = () => gate.promise.then(() => undefined)
  const watch = new HostWatch({ engine, installation, clock: { now: () => new Date() }, log: { info() {}, warn() {} }, onAffected() {}, timing: quick })
  t.after(() => watch.close())
  await until('the list is asked for', () => engine.calls.containers === 1)
  engine.put('a', 'db', 'exited', ours, 'die', 1)
  gate.resolve(undefined)
  await watch.firstAttempt(1_000, never)
  assert.equal(containers(watch), 'db exited 1')
})

test('while the stream is broken the host is unknown, and after it everybody is told', async (t) => {
  const { engine, watch, told, warnings } = await watching(t, {}, (one) => one.put('a', 'db', 'running', ours, 'start'))
  engine.broken = new Error('connection refused')
  told.length = 0
  engine.breakStream()
  await until('it is unknown', () => containers(watch).startsWith('unknown'))
  assert.match(containers(watch), /ended its event stream|connection refused/)
  await until('its owners are told after a while', () => told.includes('d1'))
  engine.containers.clear()
  told.length = 0
  engine.broken = null
  await until('it is known again', () => containers(watch) === '')
  assert.deepEqual(told, ['d1'])
  assert.equal(warnings.filter((message) => message.startsWith('the engine is not watched')).length, 1)
})

test('an engine that keeps its connections but answers nothing is noticed', async (t) => {
  const { engine, watch } = await watching(t)
  engine.frozen = true
  await until('it is unknown', () => containers(watch).startsWith('unknown'))
  assert.match(containers(watch), /did not answer within 40 ms/)
  engine.frozen = false
  await until('it is known again', () => containers(watch) === '')
})

test('a list puts right what no event told, and says so', async (t) => {
  const { engine, watch, told, warnings } = await watching(t, { confirmMs: 5, resyncMs: 30 }, (one) => one.put('a', 'db', 'running', ours, 'start'))
  told.length = 0
  engine.containers.delete('a')
  await until('the loss is seen', () => containers(watch) === '')
  assert.deepEqual(told, ['d1'])
  assert.deepEqual(warnings, ['a list showed what no event had told'])
})

test('an engine that is not there yet is waited for', async (t) => {
  const { engine, watch } = await watching(t, {}, (one) => { one.broken = new Error('no such socket') })
  assert.equal(containers(watch), 'unknown: no such socket')
  engine.broken = null
  await until('it is known', () => containers(watch) === '')
})
