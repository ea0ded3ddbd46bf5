/** The inventory against a model of an engine whose lists lag behind its events and whose events arrive late. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { label } from '../../src/domain/names.ts'
import type { ContainerSeen, ContainerState } from '../../src/domain/observed.ts'
import { EngineFacts, listLagMs, type Change, type Listing } from '../../src/observer/facts.ts'

const databaseId = 'database'
const projectId = 'project'
const labels = { [label.database]: databaseId }
const at = (ms: number): Date => new Date(ms)

function container(id: string, state: ContainerState, since = 0, exitCode: number | null = null): ContainerSeen {
  return { id, name: `c-${id}`, state, labels, since: at(since), exitCode }
}

function told(id: string, state: ContainerState, since: number, exitCode: number | null = null): Extract<Change, { kind: 'container' }> {
  return { kind: 'container', id, name: `c-${id}`, labels, state, exitCode, since: at(since) }
}

const listing = (over: Partial<Listing>): Listing => ({ containers: [], volumes: [], networks: [], ...over })
const states = (facts: EngineFacts): Record<string, string> =>
  Object.fromEntries(facts.seenOf(databaseId, projectId).containers.map(({ id, state }) => [id, state]))

test('a list that began before a death was told does not bring the dead back to life', () => {
  const facts = new EngineFacts()
  facts.replace(listing({ containers: [container('a', 'running')] }), 0)
  facts.apply(told('a', 'exited', 10_050, 137), 10_050)
  const affected = facts.replace(listing({ containers: [container('a', 'running')] }), 10_000)
  assert.deepEqual(states(facts), { a: 'exited' })
  assert.equal(affected.databases.size, 0)
})

test('a list that began just after a death was told may still lag behind it; a later one is believed', () => {
  const facts = new EngineFacts()
  facts.apply(told('a', 'exited', 10_000, 1), 10_000)
  facts.replace(listing({ containers: [container('a', 'running')] }), 10_010)
  assert.deepEqual(states(facts), { a: 'exited' })
  const affected = facts.replace(listing({ containers: [container('a', 'running')] }), 10_000 + listLagMs + 1)
  assert.deepEqual(states(facts), { a: 'running' })
  assert.deepEqual([...affected.databases], [databaseId])
})

test('what was removed stays removed although a list from before still shows it', () => {
  const facts = new EngineFacts()
  facts.replace(listing({ containers: [container('a', 'exited')], volumes: [{ name: 'v', labels }] }), 0)
  facts.apply({ kind: 'containerGone', id: 'a' }, 5_000)
  facts.apply({ kind: 'volumeGone', name: 'v' }, 5_000)
  facts.replace(listing({ containers: [container('a', 'exited')], volumes: [{ name: 'v', labels }] }), 4_990)
  assert.deepEqual(facts.seenOf(databaseId, projectId), { containers: [], volumes: [], networks: [] })
})

test('what an event tells once more as it was wakes nobody: engines tell of a volume whenever somebody asks for it to be made', () => {
  const facts = new EngineFacts()
  const volume = { name: 'v', labels }
  assert.deepEqual([...facts.apply({ kind: 'volume', volume }, 1).databases], [databaseId])
  assert.deepEqual([...facts.apply({ kind: 'volume', volume: { ...volume } }, 2).databases], [])
  assert.deepEqual([...facts.apply(told('a', 'running', 3), 3).databases], [databaseId])
  assert.deepEqual([...facts.apply(told('a', 'running', 4), 4).databases], [databaseId])
})

test('a proxy goes with its endpoint to the database that has it now; the volume that it was given stays with its own', () => {
  const made = { [label.database]: 'old', [label.endpoint]: 'endpoint' }
  const facts = new EngineFacts()
  facts.replace(listing({ containers: [{ ...container('proxy', 'running'), labels: made }], volumes: [{ name: 'conf', labels: made }] }), 0)
  const taken = facts.seenOf('new', projectId, 'endpoint')
  assert.deepEqual([taken.containers.map(({ id }) => id), taken.volumes], [['proxy'], []])
  const left = facts.seenOf('old', projectId, 'another')
  assert.deepEqual([left.containers, left.volumes.map(({ name }) => name)], [[], ['conf']])
})

test('a volume that was asked about when it was made, and ended before the answer, is not put back', () => {
  const facts = new EngineFacts()
  facts.apply({ kind: 'volumeGone', name: 'v' }, 20)
  facts.apply({ kind: 'volume', volume: { name: 'v', labels } }, 10)
  assert.deepEqual(facts.seenOf(databaseId, projectId).volumes, [])
  facts.apply({ kind: 'volume', volume: { name: 'v', labels } }, 30)
  assert.equal(facts.seenOf(databaseId, projectId).volumes.length, 1)
})

test('a list keeps what only events tell: since when, and the exit code', () => {
  const facts = new EngineFacts()
  facts.apply(told('a', 'exited', 1_000, 78), 1_000)
  facts.apply(told('a', 'running', 2_000), 2_000)
  const affected = facts.replace(listing({ containers: [container('a', 'running', 60_000)] }), 60_000)
  assert.deepEqual(facts.seenOf(databaseId, projectId).containers, [container('a', 'running', 2_000, 78)])
  assert.equal(affected.databases.size, 0)
})

test('a network tells its project, and a database sees the networks of its project only', () => {
  const facts = new EngineFacts()
  const network = { id: 'n', name: 'net', labels: { [label.project]: projectId } }
  assert.deepEqual([...facts.apply({ kind: 'network', network }, 1).projects], [projectId])
  assert.deepEqual(facts.seenOf(databaseId, projectId).networks, [network])
  assert.deepEqual(facts.seenOf(databaseId, 'another').networks, [])
  facts.apply({ kind: 'networkGone', id: 'n' }, 2)
  assert.deepEqual(facts.seenOf(databaseId, projectId).networks, [])
})

test('an answer is the same object until something of that database changes', () => {
  const facts = new EngineFacts()
  facts.apply(told('a', 'running', 0), 0)
  const before = facts.seenOf(databaseId, projectId)
  facts.apply({ ...told('b', 'running', 1), labels: { [label.database]: 'another' } }, 1)
  assert.equal(facts.seenOf(databaseId, projectId), before)
  facts.apply(told('a', 'paused', 2), 2)
  assert.notEqual(facts.seenOf(databaseId, projectId), before)
})

type Step =
  | { readonly do: 'change'; readonly thing: string; readonly cleanUpMs: number }
  | { readonly do: 'deliver'; readonly count: number }
  | { readonly do: 'list' }
  | { readonly do: 'wait'; readonly ms: number }

const things = ['a', 'b'] as const

const stepOf: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('change' as const), thing: fc.constantFrom(...things), cleanUpMs: fc.integer({ min: 0, max: listLagMs - 1 }) }),
  fc.record({ do: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('list' as const) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 51, max: 3_000 })) }),
)

/** States in the order in which a container goes through them, round and round under new ids. */
const after: Readonly<Record<string, ContainerState | 'gone'>> = { gone: 'created', created: 'running', running: 'exited', exited: 'gone' }

interface Telling { readonly id: string; readonly state: ContainerState | 'gone'; readonly version: number; readonly inListsFrom: number }

/** An engine, its late event stream, and a list call that is asked, answered and received at three different times. */
class Model {
  now = 100_000
  readonly facts = new EngineFacts()
  readonly #history = new Map<string, Telling[]>()
  readonly #ids = new Map<string, string>()
  readonly #stream: Telling[] = []
  readonly delivered = new Map<string, number>()
  #version = 0
  #list: { readonly startedAt: number; answer: Listing | null } | null = null

  change(thing: string, cleanUpMs: number): void {
    const id = this.#ids.get(thing) ?? `${thing}0`
    const history = this.#history.get(id) ?? []
    const state = after[history.at(-1)?.state ?? 'gone'] ?? 'created'
    this.#version += 1
    // only a death is told before the engine's own list knows of it
    const telling = { id, state, version: this.#version, inListsFrom: this.now + (state === 'exited' ? cleanUpMs : 0) }
    this.#history.set(id, [...history, telling])
    this.#ids.set(thing, state === 'gone' ? `${thing}${this.#version}` : id)
    this.#stream.push(telling)
  }

  deliver(count: number): void {
    for (const { id, state, version } of this.#stream.splice(0, count)) {
      this.now += 0.001
      this.delivered.set(id, version)
      this.facts.apply(state === 'gone' ? { kind: 'containerGone', id } : told(id, state, version), this.now)
    }
  }

  /** Goes on with the one list call: asks, has it answered by the engine, receives the answer. */
  list(): void {
    if (this.#list === null) this.#list = { startedAt: this.now, answer: null }
    else if (this.#list.answer === null) this.#list.answer = this.#visible()
    else {
      this.facts.replace(this.#list.answer, this.#list.startedAt)
      this.#list = null
    }
    this.now += 0.001
  }

  #visible(): Listing {
    const shown = [...this.#history.values()].map((history) => history.findLast((one) => one.inListsFrom <= this.now))
    return listing({ containers: shown.flatMap((one) => (one === undefined || one.state === 'gone' ? [] : [container(one.id, one.state, one.version)])) })
  }

  truth(): Record<string, string> {
    const last = [...this.#history.values()].flatMap((history) => history.at(-1) ?? [])
    return Object.fromEntries(last.filter(({ state }) => state !== 'gone').map(({ id, state }) => [id, state]))
  }

  versionOf(id: string, state: string | undefined): number {
    return this.#history.get(id)?.find((one) => one.state === (state ?? 'gone'))?.version ?? 0
  }

  finishStream(): void {
    this.deliver(this.#stream.length)
  }
}

test('whatever the order of events and lists, nothing goes back behind what an event told, and in the end the truth is seen', () => {
  fc.assert(fc.property(fc.array(stepOf, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
    const model = new Model()
    for (const step of steps) {
      switch (step.do) {
        case 'change': model.change(step.thing, step.cleanUpMs); break
        case 'deliver': model.deliver(step.count); break
        case 'list': model.list(); break
        case 'wait': model.now += step.ms; break
      }
      const seen = states(model.facts)
      for (const [id, version] of model.delivered) assert.ok(model.versionOf(id, seen[id]) >= version, `${id} went back to ${seen[id] ?? 'gone'}`)
    }
    model.finishStream()
    assert.deepEqual(states(model.facts), model.truth())
  }), { numRuns: 3_000 })
})
