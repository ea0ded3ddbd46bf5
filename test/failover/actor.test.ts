import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContainerDetails } from '../../src/clients/docker.ts'
import type { FailoverRecord } from '../../src/domain/failover.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createActor, type Actor } from '../../src/failover/actor.ts'
import type { WatchedCluster } from '../../src/failover/cluster.ts'
import type { Evidence } from '../../src/failover/evidence.ts'
import type { GuardWorld } from '../../src/failover/ports.ts'
import type { Route } from '../../src/failover/route.ts'
import { judge } from '../../src/failover/verdict.ts'
import { container, evidence, names, refuses, startedAt } from './evidence.ts'

const cluster: WatchedCluster = {
  databaseId: 'd', databaseName: 'shop', instanceId: 'i', prefix: '/p/', proxies: [], trustBundlePem: '', login: { username: 'u', password: new Secret('p') },
  members: names.map((name) => ({
    memberId: `member-${name}`, name, hostId: 'h', address: '127.0.0.1', ports: { postgres: 1, patroni: 1 }, serverName: name, containerName: `db-${name}`, podName: `pod-${name}`,
  })),
}

/** An actor whose every effect is written down, in its order. */
class Stage {
  readonly did: string[] = []
  readonly kept = new Map<string, FailoverRecord>()
  killed = false
  holds = true
  readonly actor: Actor

  constructor() {
    const tell = (what: string) => (name: string) => {
      this.did.push(`route ${what} ${name}`)
      return Promise.resolve([])
    }
    const route: Route = {
      away: tell('away from'), back: tell('back to'), to: tell('to'),
      pausePool: () => tell('pause')('the pool'), resumePool: () => tell('resume')('the pool'), readElsewhere: tell('read elsewhere than'), rest: () => undefined,
    }
    const world = {
      installation: 'test',
      engineOf: () => ({
        findContainer: (id: string) => Promise.resolve({ id, startedAt: new Date(startedAt), state: this.killed ? 'exited' : 'running' } as unknown as ContainerDetails),
        killContainer: (id: string) => {
          this.did.push(`kill ${id}`)
          this.killed = true
          return Promise.resolve(true)
        },
      }),
      events: () => () => undefined,
      etcd: {
        txn: () => {
          this.did.push('transact')
          return Promise.resolve({ outcome: this.holds ? 'held' : 'failed' })
        },
        list: () => Promise.resolve({ entries: [{ key: '/p/leader', value: 'b', modRevision: 101, lease: null }] }),
      },
      log: { info: () => undefined, warn: () => undefined, error: (facts: object) => { this.did.push(`error ${JSON.stringify(facts)}`) } },
    } as unknown as GuardWorld
    this.actor = createActor({
      cluster, world, route, controller: 'c1', signal: new AbortController().signal,
      recordings: { keep: (one) => { this.kept.set(one.id, one) }, waiting: 0, close: () => Promise.resolve() },
      probeOf: () => undefined, look: () => Promise.reject(new Error('not asked')), forgetKeys: () => { this.did.push('forget keys') },
    })
  }

  async act(seen: Evidence): Promise<void> {
    await this.actor.act(judge(seen), seen)
  }

  /** A new leader was seen to take writes. */
  routed(leader: string): void {
    this.actor.routed(leader, [], { kind: 'nothing' }, evidence())
  }

  get told(): readonly (readonly [verdict: string, outcome: string | undefined, note: string | undefined])[] {
    return [...this.kept.values()].map(({ verdict, outcome, notes }) => [verdict, outcome?.reason, notes.outcome?.reason])
  }
}

const dead = evidence({ a: { container: container('exited', 20), patroni: refuses(300), query: refuses(300) } })
const frozen = evidence({ a: { container: container('paused', 800), patroni: { seen: 'silent', forMs: 800, rounds: 3 }, query: { seen: 'silent', forMs: 800, rounds: 3 } } })
const postgresGone = evidence({ a: { query: refuses(100) } })

test('of a dead leader the key goes first, then the proxies are told, and the incident ends when another one takes writes', async () => {
  const stage = new Stage()
  await stage.act(dead)
  assert.deepEqual(stage.did, ['transact', 'route away from a', 'forget keys'])
  assert.deepEqual(stage.told, [['releaseLeader', undefined, undefined]])
  stage.routed('b')
  assert.deepEqual(stage.told, [['releaseLeader', 'LeaderChanged', 'LeaderChanged']])
  const [record] = stage.kept.values()
  assert.equal(record?.outcome?.leaderId, 'member-b')
  assert.ok((record.outcome.writeGapMs ?? 0) > 0, 'counted from its last answer')
})

test('a transaction that did not hold is told as such, and nobody waits for its outcome', async () => {
  const stage = new Stage()
  stage.holds = false
  await stage.act(dead)
  assert.deepEqual(stage.told, [['releaseLeader', 'KeysChanged', undefined]])
})

test('a frozen leader is killed and told; its key is the next verdict\'s', async () => {
  const stage = new Stage()
  await stage.act(frozen)
  assert.deepEqual(stage.did, ['route away from a', 'kill container-a'])
  assert.deepEqual(stage.told, [['killLeader', 'Fenced', undefined]])
})

test('several verdicts that led to one change tell of it once', async () => {
  const stage = new Stage()
  await stage.act(postgresGone)
  await stage.act(dead)
  stage.routed('b')
  assert.deepEqual(stage.told, [['wakeLeader', 'LeaderChanged', undefined], ['releaseLeader', 'LeaderChanged', 'LeaderChanged']])
})

test('a lead that somebody moved on purpose is nothing to tell', () => {
  const stage = new Stage()
  stage.routed('b')
  assert.deepEqual(stage.told, [])
})

test('trouble that passed ends its incidents without a new leader', async () => {
  const stage = new Stage()
  await stage.act(postgresGone)
  stage.actor.calm()
  assert.deepEqual(stage.told, [['wakeLeader', 'TroubleOver', undefined]])
})
