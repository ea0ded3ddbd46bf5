import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { ContainerDetails } from '../../src/clients/docker.ts'
import { Secret } from '../../src/domain/secret.ts'
import type { WatchedCluster, WatchedMember } from '../../src/failover/cluster.ts'
import { MemberProbe } from '../../src/failover/memberProbe.ts'
import type { GuardEngine, GuardWorld } from '../../src/failover/ports.ts'

const containerId = 'container-a'
const startedAt = new Date(Date.now() - 60_000)

const member: WatchedMember = {
  memberId: 'a', name: 'ma', hostId: 'h', address: '127.0.0.1', ports: { postgres: 1, patroni: 1 }, serverName: 'a', containerName: 'db-a', podName: 'pod-a',
}
const cluster: WatchedCluster = {
  databaseId: 'd', databaseName: 'shop', instanceId: 'i', prefix: '/p/', members: [member], proxies: [], trustBundlePem: '', login: { username: 'u', password: new Secret('p') },
}

/** An engine that answers when it is told to. */
class SlowEngine {
  running = true
  started = startedAt
  #waiting: (() => void)[] = []
  isSlow = false
  isAway = false

  readonly engine = {
    findContainer: async () => {
      if (this.isAway) throw new Error('no answer')
      const seen = { id: containerId, startedAt: this.started, state: this.running ? 'running' : 'exited' } as unknown as ContainerDetails
      if (this.isSlow) await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
      return seen
    },
  } as unknown as GuardEngine

  answer(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

async function watched(t: TestContext, patroniPort = 1): Promise<{ readonly probe: MemberProbe; readonly host: SlowEngine; readonly seen: () => string }> {
  const host = new SlowEngine()
  const world = { engineOf: () => host.engine, identity: () => ({ certificatePem: '', keyPem: new Secret('') }) } as unknown as GuardWorld
  const probe = new MemberProbe({ ...member, ports: { ...member.ports, patroni: patroniPort } }, cluster, world, () => undefined)
  t.after(() => probe.close())
  await probe.ask('container')
  const seen = (): string => {
    const { container } = probe.evidence(performance.now())
    return container.known ? `${container.state} by ${container.by}` : container.reason
  }
  assert.equal(seen(), 'running by answer')
  return { probe, host, seen }
}

const now = (): Date => new Date()

test('an event of the end counts at once, and as an answer once the engine says the same', async (t) => {
  const { probe, host, seen } = await watched(t)
  probe.heardOfEnd({ id: containerId, at: now() })
  assert.equal(seen(), 'exited by event')
  host.running = false
  await probe.ask('container')
  assert.equal(seen(), 'exited by answer')
})

test('an event about another container, an earlier run, or from long ago is none', async (t) => {
  const { probe, seen } = await watched(t)
  probe.heardOfEnd({ id: 'container-b', at: now() })
  probe.heardOfEnd({ id: containerId, at: new Date(startedAt.getTime() - 1) })
  probe.heardOfEnd({ id: containerId, at: new Date(Date.now() - 2_000) })
  assert.equal(seen(), 'running by answer')
})

test('an answer to a question from before the event does not take it back, one to a later question does', async (t) => {
  const { probe, host, seen } = await watched(t)
  host.isSlow = true
  const asked = probe.ask('container')
  probe.heardOfEnd({ id: containerId, at: now() })
  host.answer()
  await asked
  assert.equal(seen(), 'exited by event')
  const askedLater = probe.ask('container')
  host.started = now()
  host.answer()
  await askedLater
  assert.equal(seen(), 'running by answer')
})

test('after our own sleep an event counts no more, what was answered does', async (t) => {
  const { probe, host, seen } = await watched(t)
  probe.heardOfEnd({ id: containerId, at: now() })
  probe.doubt()
  assert.equal(seen(), 'running by answer')
  host.running = false
  await probe.ask('container')
  probe.doubt()
  assert.equal(seen(), 'exited by answer')
})

test('silence from when its host was away is none of its own', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const { probe, host } = await watched(t, (silent.address() as AddressInfo).port)
  const heard = async (): Promise<string> => {
    await probe.ask('patroni')
    return probe.evidence(performance.now()).patroni.seen
  }
  assert.equal(await heard(), 'silent')
  const awayFor = async (ms: number): Promise<string> => {
    host.isAway = true
    await probe.ask('container')
    host.isAway = false
    const began = performance.now()
    const clock = t.mock.method(performance, 'now', () => began + ms)
    await probe.ask('container')
    clock.mock.restore()
    return probe.evidence(performance.now()).patroni.seen
  }
  assert.equal(await awayFor(900), 'silent', 'an engine may be slow for a moment')
  assert.equal(await awayFor(5_000), 'never')
  assert.equal(await heard(), 'silent', 'and is believed again when it is seen again')
})
