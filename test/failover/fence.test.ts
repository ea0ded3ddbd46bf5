import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContainerDetails } from '../../src/clients/docker.ts'
import { fence, type FenceEngine } from '../../src/failover/fence.ts'
import type { ContainerEvents, ContainerNews } from '../../src/failover/ports.ts'

const run = { memberId: 'a', name: 'ma', containerId: 'container-a', startedAt: '2026-01-01T00:00:00.000Z' }
const signal = new AbortController().signal

/** One container, that does what its script says when it is killed. */
class Host {
  state: string | null = 'running'
  startedAt = run.startedAt
  kills = 0
  asked = 0
  onKill: () => void | Promise<void> = () => { this.state = 'exited' }
  /** Inspecting does not answer before it is aborted. */
  isStuck = false
  readonly #listeners = new Set<(news: ContainerNews) => void>()

  readonly engine: FenceEngine = {
    findContainer: async (id, asking) => {
      assert.equal(id, run.containerId, 'by id, never by name')
      this.asked += 1
      if (this.isStuck) await new Promise((_resolve, reject) => { asking.addEventListener('abort', () => reject(new Error('aborted'))) })
      return this.state === null ? null : { id, state: this.state, startedAt: new Date(this.startedAt) } as unknown as ContainerDetails
    },
    killContainer: async () => {
      this.kills += 1
      await this.onKill()
      return true
    },
  }

  readonly events: ContainerEvents = (listener) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get listeners(): number {
    return this.#listeners.size
  }

  tell(action: string, at = new Date(), id = run.containerId): void {
    for (const listener of this.#listeners) listener({ hostId: 'h', id, name: 'db-a', action, at })
  }
}

test('a run is killed once, and dead when the engine says so of its id', async () => {
  const host = new Host()
  const outcome = await fence(host, run, signal)
  assert.deepEqual([outcome.kind, outcome.kind === 'dead' && outcome.state, host.kills, host.listeners], ['dead', 'exited', 1, 0])
})

for (const state of ['exited', 'dead']) {
  test(`what is ${state} already is not killed`, async () => {
    const host = new Host()
    host.state = state
    assert.deepEqual([(await fence(host, run, signal)).kind, host.kills], ['dead', 0])
  })
}

test('a container that the engine knows no more is dead', async () => {
  const host = new Host()
  host.state = null
  const outcome = await fence(host, run, signal)
  assert.equal(outcome.kind === 'dead' && outcome.state, 'gone')
})

test('another run of the container is left alone, before and after the kill', async () => {
  const later = '2026-01-01T00:01:00.000Z'
  const before = new Host()
  before.startedAt = later
  assert.deepEqual([await fence(before, run, signal), before.kills], [{ kind: 'anotherRun', startedAt: later }, 0])
  const after = new Host()
  after.onKill = () => { after.startedAt = later }
  assert.deepEqual([await fence(after, run, signal), after.kills], [{ kind: 'anotherRun', startedAt: later }, 1])
})

test('the engine tells of the end while it does not answer: that is proof', async () => {
  const host = new Host()
  host.onKill = () => {
    host.isStuck = true
    setTimeout(() => host.tell('die'), 20)
  }
  const outcome = await fence(host, run, signal)
  assert.deepEqual([outcome.kind, host.listeners], ['dead', 0])
  assert.ok(outcome.kind === 'dead' && outcome.tookMs < 1_000, 'without waiting for an answer')
})

test('events of other containers, of earlier runs, or of anything but the end prove nothing', async () => {
  const host = new Host()
  const end = new AbortController()
  host.onKill = () => {
    host.tell('die', new Date(), 'container-b')
    host.tell('die', new Date('2025-12-31T23:59:59.000Z'))
    host.tell('kill')
    setTimeout(() => end.abort(), 50)
  }
  const outcome = await fence(host, run, end.signal)
  assert.deepEqual(outcome, { kind: 'notProved', reason: 'the engine says running' })
})

test('an engine that refuses is asked again until the time is up, and nothing is claimed', async () => {
  const host = new Host()
  host.onKill = () => { throw new Error('device or resource busy') }
  const outcome = await fence(host, run, AbortSignal.timeout(100))
  assert.equal(outcome.kind, 'notProved')
  assert.ok(host.kills > 1)
})
