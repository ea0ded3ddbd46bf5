/** The etcd client against a real member: what is done is known, what may have been done is said, and who may do what holds. */
import assert from 'node:assert/strict'
import { request } from 'node:https'
import { createConnection, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { before, describe, test } from 'node:test'
import type { EtcdClient, EtcdEndpoint, EtcdNews } from '../../src/clients/etcd.ts'
import { etcdRefusalOf } from '../../src/clients/etcd.ts'
import { commonName } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { isWhole } from '../../src/executor/etcdSnapshot.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { endings } from '../harness/endings.ts'
import { openEtcd, type TestEtcd } from '../harness/etcd.ts'
import { NotYet, until } from '../harness/waiting.ts'

const installation = 'hftetcdclient'
const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const own = { name: 'cluster-a', password: new Secret('password-of-a'), prefix: '/holdfast/test/a/' }
const other = { name: 'cluster-b', password: new Secret('password-of-b'), prefix: '/holdfast/test/b/' }

describe('etcd', () => {
  const ending = endings()
  let etcd: TestEtcd
  let root: EtcdClient

  before(async () => {
    etcd = await openEtcd(ending, installation, 1)
    root = etcd.client()
    await root.auth.ensureUser(own, signal())
    await root.auth.ensureUser(other, signal())
  })

  const at = (): EtcdEndpoint => etcd.access.endpoints[0] ?? assert.fail('there is no endpoint')
  const refusedFor = (reason: RegExp) => (error: unknown): boolean => {
    assert.match(etcdRefusalOf(error)?.reason ?? String(error), reason)
    return true
  }

  /** etcd's own client, over gRPC, in the member's container. */
  async function overGrpc(name: string, ...args: readonly string[]): Promise<string> {
    const { certificatePem, keyPem } = await etcd.clientCertificate(name)
    const files = { cert: certificatePem, key: keyPem.reveal(), ca: etcd.authority.certPem }
    const write = Object.entries(files).map(([file, text]) => `echo ${Buffer.from(text).toString('base64')} | base64 -d > /tmp/${file}`).join('; ')
    // its own limits, two and five seconds, are too short for a machine that is busy
    const command = `etcdctl --dial-timeout=15s --command-timeout=15s --endpoints=https://${at().host}:${at().port} --cacert=/tmp/ca --cert=/tmp/cert --key=/tmp/key ${args.join(' ')}`
    const { stdout, stderr } = await etcd.engine.exec(etcd.container(1), ['sh', '-c', `${write}; ${command}`], {}, signal())
    return stdout + stderr
  }

  describe('keys', () => {
    test('are read as they were written, with their revisions, and a prefix has all of its keys in order and nothing else', async () => {
      const first = await root.put('/keys/list/b', 'zwei ü', signal())
      const second = await root.put('/keys/list/a', '', signal())
      await root.put('/keys/listing', 'beside', signal())
      assert.ok(first.outcome === 'done' && second.outcome === 'done')
      const { entries } = await root.list('/keys/list/', signal())
      assert.deepEqual(entries, [
        { key: '/keys/list/a', value: '', createRevision: second.revision, modRevision: second.revision, lease: null },
        { key: '/keys/list/b', value: 'zwei ü', createRevision: first.revision, modRevision: first.revision, lease: null },
      ])
      const again = await root.put('/keys/list/b', 'drei', signal())
      const { entry } = await root.get('/keys/list/b', signal())
      assert.ok(again.outcome === 'done')
      assert.deepEqual(entry, { key: '/keys/list/b', value: 'drei', createRevision: first.revision, modRevision: again.revision, lease: null })
      assert.equal((await root.get('/keys/none', signal())).entry, null)
      assert.deepEqual(await root.deletePrefix('/keys/list/', signal()), { deleted: 2 })
      assert.deepEqual(await root.deletePrefix('/keys/list/', signal()), { deleted: 0 })
      await assert.rejects(root.list('', signal()), RangeError)
    })

    test('a key with a lease says so, and the lease says how long it lives and what ends with it', async () => {
      const login = '--user=root:a-root-password-of-a-test'
      const granted = /lease ([0-9a-f]+) granted/.exec(await overGrpc('anybody', login, 'lease', 'grant', '600'))?.[1] ?? assert.fail('no lease')
      await overGrpc('anybody', login, 'put', `--lease=${granted}`, '/keys/leased', 'x')
      const lease = (await root.get('/keys/leased', signal())).entry?.lease
      assert.equal(lease, BigInt(`0x${granted}`).toString())
      const seen = await root.leaseTimeToLive(lease ?? '', signal())
      assert.ok(seen !== null && seen.ttlSeconds > 500 && seen.ttlSeconds <= 600, JSON.stringify(seen))
      assert.deepEqual(seen.keys, ['/keys/leased'])
      await overGrpc('anybody', login, 'lease', 'revoke', granted)
      assert.equal(await root.leaseTimeToLive(lease ?? '', signal()), null)
      assert.equal((await root.get('/keys/leased', signal())).entry, null)
    })
  })

  describe('a transaction', () => {
    test('is done whole when every comparison holds, and not at all when one does not', async () => {
      await root.put('/txn/leader', 'm1', signal())
      await root.put('/txn/sync', 'both', signal())
      const [leader, sync] = await Promise.all([root.get('/txn/leader', signal()), root.get('/txn/sync', signal())])
      assert.ok(leader.entry !== null && sync.entry !== null)
      const release = {
        when: [{ key: '/txn/leader', value: 'm1' }, { key: '/txn/leader', modRevision: leader.entry.modRevision }, { key: '/txn/sync', modRevision: sync.entry.modRevision }],
        then: [{ kind: 'delete', key: '/txn/leader' }, { kind: 'put', key: '/txn/sync', value: 'both' }, { kind: 'get', key: '/txn/sync' }],
        otherwise: [{ kind: 'get', key: '/txn/leader' }],
      } as const
      const moved = await root.txn({ ...release, when: [...release.when, { key: '/txn/sync', modRevision: sync.entry.modRevision + 1 }] }, signal())
      assert.deepEqual(moved.outcome === 'ambiguous' ? moved : { outcome: moved.outcome, found: moved.found }, { outcome: 'failed', found: [leader.entry] })
      const done = await root.txn(release, signal())
      assert.ok(done.outcome === 'held')
      // what was put is found by what comes after it, under a revision that fails whoever compared the old one
      assert.deepEqual(done.found, [{ ...sync.entry, modRevision: done.revision }])
      assert.equal((await root.get('/txn/leader', signal())).entry, null)
      const twice = await root.txn(release, signal())
      assert.deepEqual(twice.outcome === 'ambiguous' ? twice : { outcome: twice.outcome, found: twice.found }, { outcome: 'failed', found: [null] })
    })

    test('may demand that a key does not exist yet', async () => {
      const create = { when: [{ key: '/txn/new', createRevision: 0 }], then: [{ kind: 'put', key: '/txn/new', value: '1' }] } as const
      assert.equal((await root.txn(create, signal())).outcome, 'held')
      assert.equal((await root.txn(create, signal())).outcome, 'failed')
    })
  })

  describe('an answer that is lost', () => {
    test('makes a write ambiguous, which was done all the same, and leaves a read to be asked again', async (t) => {
      const line = await openLine(at())
      t.after(() => line.close())
      const through = etcd.client({ endpoints: [line.endpoint] })
      await through.get('/lost/warm', signal())
      line.loseAnswers()
      const written = await through.put('/lost/put', 'x', signal())
      assert.equal(written.outcome, 'ambiguous')
      assert.equal((await through.get('/lost/put', signal())).entry?.value, 'x')
      line.loseAnswers()
      const txn = await through.txn({ when: [{ key: '/lost/put', value: 'x' }], then: [{ kind: 'delete', key: '/lost/put' }] }, signal())
      assert.equal(txn.outcome, 'ambiguous')
      assert.equal((await root.get('/lost/put', signal())).entry, null)
      const both = etcd.client({ endpoints: [line.endpoint, at()] })
      await Promise.all([line.endpoint, at()].map((endpoint) => both.cluster.checkServing(endpoint, signal())))
      line.loseAnswers()
      assert.equal((await both.get('/lost/put', signal())).entry, null)
    })

    test('does not come of an endpoint that could not be connected to: the next one is asked', async () => {
      const nowhere = { ...at(), port: 9 }
      const client = etcd.client({ endpoints: [nowhere, at()] })
      assert.equal((await client.put('/lost/none', 'x', signal())).outcome, 'done')
      const alone = etcd.client({ endpoints: [nowhere] })
      await assert.rejects(alone.put('/lost/none', 'x', signal()), { code: 'EtcdUnavailable', message: /nothing listens there/ })
    })

    test('of a member that is silent takes a read no longer than it takes the next member to be asked', async (t) => {
      const line = await openLine(at())
      t.after(() => line.close())
      const client = etcd.client({ endpoints: [line.endpoint, at()] })
      await Promise.all([line.endpoint, at()].map((endpoint) => client.cluster.checkServing(endpoint, signal())))
      line.freeze()
      const began = performance.now()
      await client.get('/lost/none', signal())
      assert.ok(performance.now() - began < 900, `${performance.now() - began} ms`)
    })

    test('ends with the reason of a caller that gives up', async (t) => {
      const line = await openLine(at())
      t.after(() => line.close())
      line.freeze()
      const client = etcd.client({ endpoints: [line.endpoint] })
      const caller = new AbortController()
      setTimeout(() => caller.abort(new Error('enough')), 50)
      await assert.rejects(client.get('/lost/none', caller.signal), /enough/)
    })
  })

  describe('a user', () => {
    test('is made once however often it is asked for, and a changed password counts at once', async () => {
      await root.auth.ensureUser(own, signal())
      assert.equal(await root.auth.checkPassword(own.name, own.password, signal()), true)
      assert.equal(await root.auth.checkPassword(own.name, new Secret('wrong'), signal()), false)
      const next = new Secret('another')
      await root.auth.ensureUser({ ...own, password: next }, signal())
      assert.equal(await root.auth.checkPassword(own.name, own.password, signal()), false)
      assert.equal(await root.auth.checkPassword(own.name, next, signal()), true)
      await root.auth.ensureUser(own, signal())
    })

    test('reads, writes, watches and deletes below its prefix, and nowhere else over the gateway', async () => {
      const client = etcd.client({ user: own.name, password: own.password })
      await root.put(`${other.prefix}leader`, 'b1', signal())
      assert.equal((await client.put(`${own.prefix}leader`, 'a1', signal())).outcome, 'done')
      assert.equal((await client.list(own.prefix, signal())).entries.length, 1)
      const denied = refusedFor(/^permission denied$/)
      await assert.rejects(client.get(`${other.prefix}leader`, signal()), denied)
      await assert.rejects(client.list(other.prefix, signal()), denied)
      await assert.rejects(client.list('/holdfast/', signal()), denied)
      await assert.rejects(client.put(`${other.prefix}leader`, 'a1', signal()), denied)
      await assert.rejects(client.deletePrefix(other.prefix, signal()), denied)
      await assert.rejects(client.txn({ when: [{ key: `${own.prefix}leader`, value: 'a1' }], then: [{ kind: 'put', key: `${other.prefix}leader`, value: 'a1' }] }, signal()), denied)
      await assert.rejects(client.txn({ when: [{ key: `${other.prefix}leader`, value: 'b1' }], then: [] }, signal()), denied)
      const { value: news } = await client.watchPrefix(other.prefix, signal()).next()
      assert.ok(news?.kind === 'lost' && /permission denied/.test(news.reason), JSON.stringify(news))
      await assert.rejects(client.auth.users(signal()), denied)
      await assert.rejects(client.auth.ensureUser({ ...own, prefix: '/' }, signal()), denied)
      await assert.rejects(client.cluster.removeMember('1', signal()), denied)
      assert.equal((await root.get(`${other.prefix}leader`, signal())).entry?.value, 'b1')
    })

    test('is not who a certificate names: over gRPC the name of another user on it opens nothing', async () => {
      await root.put(`${other.prefix}leader`, 'b1', signal())
      for (const command of [['get', '--prefix', other.prefix], ['put', `${other.prefix}leader`, 'stolen']]) {
        assert.match(await overGrpc(other.name, ...command), /user name is empty|permission denied/)
        assert.match(await overGrpc(other.name, `--user=${own.name}:${own.password.reveal()}`, ...command), /permission denied/)
        assert.match(await overGrpc('root', ...command), /user name is empty|permission denied/)
      }
      assert.match(await overGrpc(commonName.member('x'), `--user=${own.name}:${own.password.reveal()}`, 'put', `${own.prefix}mine`, 'yes'), /^OK/)
      assert.equal((await root.get(`${other.prefix}leader`, signal())).entry?.value, 'b1')
    })

    test('is gone with its rights when it is removed, and removing it twice is fine', async () => {
      const gone = { name: 'cluster-gone', password: new Secret('p'), prefix: '/holdfast/test/gone/' }
      await root.auth.ensureUser(gone, signal())
      const client = etcd.client({ user: gone.name, password: gone.password })
      await client.put(`${gone.prefix}x`, '1', signal())
      await root.auth.removeUser(gone.name, signal())
      await root.auth.removeUser(gone.name, signal())
      await assert.rejects(client.get(`${gone.prefix}x`, signal()))
      assert.equal(await root.auth.checkPassword(gone.name, gone.password, signal()), false)
      assert.ok(!(await root.auth.users(signal())).includes(gone.name))
    })
  })

  describe('a stranger', () => {
    test('without a certificate, or with one of another authority, gets nowhere, whatever it knows', async () => {
      const bare = etcd.client({ certificatePem: null, keyPem: null })
      await assert.rejects(bare.get('/keys/a', signal()), { code: 'EtcdUnavailable' })
      const foreign = await createAuthority({ commonName: 'other', validityMs: 3_600_000, now: new Date() })
      const forged = etcd.client(await etcd.clientCertificate(commonName.controller(installation), foreign))
      await assert.rejects(forged.get('/keys/a', signal()), { code: 'EtcdUnavailable' })
      const misled = etcd.client({ caPem: foreign.certPem })
      await assert.rejects(misled.get('/keys/a', signal()), { code: 'EtcdUnavailable', message: /not signed by our authority/ })
    })

    test('with a certificate of ours that is no member’s cannot speak to members as one', async () => {
      const { address, peerPort } = etcd.members[0]?.place ?? assert.fail()
      const ask = async (name: string): Promise<number | string> => {
        const { certificatePem, keyPem } = await etcd.clientCertificate(name)
        return new Promise((resolve) => {
          const asked = request({ host: address, port: peerPort, path: '/members', ca: etcd.authority.certPem, cert: certificatePem, key: keyPem.reveal() }, (answer) => {
            answer.resume()
            resolve(answer.statusCode ?? 0)
          })
          asked.once('error', (error) => resolve(error.message))
          asked.end()
        })
      }
      assert.equal(await ask(commonName.etcd(installation)), 200)
      for (const name of [commonName.member('x'), commonName.controller(installation)]) assert.notEqual(await ask(name), 200)
    })
  })

  describe('a watch', () => {
    test('lists, then tells what changes below its prefix as it happens', async () => {
      await root.put('/watch/kept', '1', signal())
      const news = root.watchPrefix('/watch/', signal())
      const listed = await nextOf(news)
      assert.ok(listed.kind === 'listed')
      assert.deepEqual(listed.entries.map(({ key, value }) => [key, value]), [['/watch/kept', '1']])
      await root.put('/watched', 'beside', signal())
      await root.txn({ when: [], then: [{ kind: 'delete', key: '/watch/kept' }, { kind: 'put', key: '/watch/new', value: '2' }] }, signal())
      const changed = await nextOf(news)
      assert.ok(changed.kind === 'changed')
      assert.deepEqual(changed.changes.map((one) => (one.kind === 'put' ? [one.kind, one.entry.key, one.entry.value] : [one.kind, one.key])).sort(), [
        ['delete', '/watch/kept'], ['put', '/watch/new', '2'],
      ])
      await news.return()
    })

    test('says within two seconds that a frozen member tells nothing, and lists anew when it is back', async () => {
      const news = root.watchPrefix('/watch/', signal())
      assert.equal((await nextOf(news)).kind, 'listed')
      const container = etcd.docker.getContainer(etcd.container(1))
      await container.pause()
      const began = performance.now()
      try {
        assert.equal((await nextOf(news)).kind, 'lost')
        assert.ok(performance.now() - began < 2_500, `${performance.now() - began} ms`)
      } finally {
        await container.unpause()
      }
      await until('it is listed again', async () => {
        const { kind } = await nextOf(news)
        return kind === 'listed' ? true : new NotYet(kind)
      }, { limitMs: 15_000, everyMs: 0 })
      await news.return()
    })
  })

  describe('the cluster', () => {
    test('tells its members and how each of them is', async () => {
      const [member] = await root.cluster.members(signal())
      assert.deepEqual(member && { name: member.name, clientUrls: member.clientUrls }, { name: 'etcd-1', clientUrls: [`https://${at().host}:${at().port}`] })
      const status = await root.cluster.status(at(), signal())
      assert.deepEqual([status.memberId, status.leaderId], [member?.id, member?.id])
      assert.ok(status.raftTerm >= 2 && status.dbSizeBytes > 0 && status.dbSizeInUseBytes > 0, JSON.stringify(status))
      assert.deepEqual(await root.cluster.alarms(signal()), [])
      await root.cluster.checkServing(at(), signal())
    })

    test('gives a snapshot whose digest shows that it is whole', async () => {
      const snapshot = await buffer(await root.cluster.snapshot(signal()))
      assert.ok(isWhole(snapshot), `${snapshot.length} bytes`)
      assert.ok(!isWhole(snapshot.subarray(1)))
    })

    test('is made small after its history was dropped', async () => {
      for (let round = 10; round < 50; round += 1) await root.put('/room', String(round).repeat(100_000), signal())
      const before = await root.cluster.status(at(), signal())
      await root.cluster.compact(signal())
      await root.cluster.compact(signal())
      await root.cluster.defragment(at(), signal())
      const after = await root.cluster.status(at(), signal())
      assert.ok(after.dbSizeBytes < before.dbSizeBytes / 2, `${before.dbSizeBytes} → ${after.dbSizeBytes}`)
    })
  })

  test('a member that restarted has forgotten every token, and its clients log in again by themselves', async () => {
    const client = etcd.client({ user: own.name, password: own.password })
    await client.put(`${own.prefix}before`, '1', signal())
    const { id } = await etcd.engine.inspectContainer(etcd.container(1), signal())
    await etcd.engine.stopContainer(id, 10, signal())
    await assert.rejects(client.get(`${own.prefix}before`, signal()), { code: 'EtcdUnavailable' })
    await etcd.engine.startContainer(id, signal())
    const back = await until('it answers again', () => client.get(`${own.prefix}before`, signal()).catch((error: unknown) => new NotYet(String(error))))
    assert.equal(back.entry?.value, '1')
  })
})

async function nextOf(news: AsyncGenerator<EtcdNews, void, undefined>): Promise<EtcdNews> {
  for (;;) {
    const { value } = await news.next()
    if (value === undefined) throw new Error('a watch never ends')
    if (value.kind !== 'quiet') return value
  }
}

interface Line {
  readonly endpoint: EtcdEndpoint
  /** Requests go through, answers do not, and the connections they were asked on are cut; then it is as before. */
  loseAnswers(): void
  /** Nothing goes through any more. */
  freeze(): void
  close(): void
}

/** Between a client and a member: TLS passes through it, as it is only bytes. */
async function openLine(to: EtcdEndpoint): Promise<Line> {
  const pairs = new Set<{ readonly client: Socket; readonly upstream: Socket; isLosing: boolean }>()
  let isFrozen = false
  const server = createServer((client) => {
    const pair = { client, upstream: createConnection({ host: to.host, port: to.port }), isLosing: false }
    const { upstream } = pair
    pairs.add(pair)
    client.on('data', (data) => isFrozen || upstream.write(data))
    upstream.on('data', (data) => {
      if (isFrozen) return
      if (pair.isLosing) client.destroy()
      else client.write(data)
    })
    for (const [one, its] of [[client, upstream], [upstream, client]] as const) {
      one.on('error', () => its.destroy())
      one.on('close', () => {
        its.destroy()
        pairs.delete(pair)
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  return {
    endpoint: { host: '127.0.0.1', port: typeof bound === 'object' && bound !== null ? bound.port : 0, serverName: to.serverName },
    loseAnswers: () => {
      for (const pair of pairs) pair.isLosing = true
    },
    freeze: () => {
      isFrozen = true
    },
    close: () => {
      for (const { client } of pairs) client.destroy()
      server.close()
    },
  }
}
