import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { Secret } from '../../src/domain/secret.ts'
import { tierNames, tiers } from '../../src/domain/tiers.ts'
import { clusterConfiguration, configurationText } from '../../src/render/clusterConfiguration.ts'
import { renderClusterMember, type ClusterMemberInput } from '../../src/render/clusterMember.ts'
import { renderMember } from '../../src/render/member.ts'
import { certificatePem, contentOf, instanceId, member } from './inputs.ts'

const leading = { follows: null, isFollowed: false }
const input: ClusterMemberInput = {
  ...member, begins: null, name: 'm0000000000a1', names: ['m0000000000a1', 'm0000000000a2', 'm0000000000a3'], address: '10.0.0.7', ports: { postgres: 25_432, patroni: 25_434 },
  namespace: '/holdfast/lab/', scope: { scope: instanceId, user: `cluster-${instanceId}`, password: new Secret('pass"word: #1') },
  dcs: { hosts: [{ host: '10.0.0.1', port: 2379 }, { host: '10.0.0.2', port: 2380 }], caPem: null, client: null },
  configurationText: configurationText({ ...leading, durability: 'strict', sizes: tiers.standard }),
}

const patroniSchema = z.looseObject({
  scope: z.string(), namespace: z.string(), name: z.string(), members: z.array(z.string()),
  restapi: z.looseObject({ connect_address: z.string(), verify_client: z.string(), authentication: z.object({ username: z.string(), password: z.string() }) }),
  etcd3: z.looseObject({ hosts: z.array(z.string()), protocol: z.string(), cacert: z.string(), cert: z.string().optional(), key: z.string().optional(), password: z.string() }),
  postgresql: z.looseObject({ connect_address: z.string(), authentication: z.record(z.string(), z.record(z.string(), z.string())) }),
  bootstrap: z.looseObject({ dcs: z.record(z.string(), z.unknown()) }).optional(),
})

const patroniOf = (one: ClusterMemberInput) => patroniSchema.parse(parse(contentOf(renderClusterMember(one), '/conf/patroni.yml')))

test('a member of a cluster has what every member has, and Patroni’s configuration, which is secret', () => {
  const { files } = renderClusterMember(input)
  const added = files.map(({ path }) => path).filter((path) => !renderMember(member).files.some((file) => file.path === path))
  assert.deepEqual(added, ['/conf/patroni.yml'])
  assert.deepEqual(files.filter(({ secret }) => secret).map(({ path }) => path).sort(), ['/conf/patroni.yml', '/conf/tls/server.key'])
})

test('it is reached at its host’s address, and reaches etcd as itself', () => {
  const { scope, namespace, name, members, restapi, etcd3, postgresql } = patroniOf(input)
  assert.deepEqual([scope, namespace, name, members.length], [instanceId, '/holdfast/lab/', 'm0000000000a1', 3])
  assert.deepEqual([restapi.connect_address, postgresql.connect_address], ['10.0.0.7:25434', '10.0.0.7:25432'])
  assert.deepEqual(etcd3.hosts, ['10.0.0.1:2379', '10.0.0.2:2380'])
  assert.deepEqual([etcd3.protocol, etcd3.cacert, etcd3.cert], ['https', '/conf/tls/ca.crt', '/conf/tls/server.crt'])
})

test('a password arrives as it is, whatever is in it, and nothing can be smuggled in', () => {
  assert.equal(patroniOf(input).restapi.authentication.password, 'pass"word: #1')
  assert.equal(patroniOf(input).etcd3.password, 'pass"word: #1')
  const password = new Secret('one\npostgresql: {}')
  assert.throws(() => renderClusterMember({ ...input, scope: { ...input.scope, password } }), (error: Error) => !error.message.includes('postgresql'))
  for (const bad of ['a b', 'x\ny: 1', '"']) assert.throws(() => renderClusterMember({ ...input, name: bad }))
})

test('to another’s etcd it shows the certificate that is meant for it or none, and trusts that one’s authority', () => {
  const foreign = { ...input, dcs: { ...input.dcs, caPem: certificatePem } }
  const { etcd3 } = patroniOf(foreign)
  assert.deepEqual([etcd3.cacert, etcd3.cert], ['/conf/tls/etcd-ca.crt', undefined])
  assert.equal(contentOf(renderClusterMember(foreign), '/conf/tls/etcd-ca.crt'), certificatePem)
  const known = { ...foreign, dcs: { ...foreign.dcs, client: input.server } }
  const { cert, key } = patroniOf(known).etcd3
  assert.deepEqual([cert, key], ['/conf/tls/etcd-client.crt', '/conf/tls/etcd-client.key'])
  assert.equal(contentOf(renderClusterMember(known), '/conf/tls/etcd-client.key'), input.server.keyPem.reveal())
})

test('nobody comes to it without mutual TLS, and Patroni to no Postgres of another without', () => {
  const { restapi, postgresql: { authentication } } = patroniOf(input)
  assert.equal(restapi.verify_client, 'required')
  for (const role of ['replication', 'rewind']) assert.equal(authentication[role]?.['sslmode'], 'verify-full', role)
  assert.ok(Object.values(authentication).every((one) => one['password'] === undefined))
})

test('only a member that may begin a database can, and what it begins with is the cluster’s configuration', () => {
  assert.equal(patroniOf(input).bootstrap, undefined)
  const { bootstrap } = patroniOf({ ...input, begins: 'newDatabase' })
  assert.ok(Array.isArray(bootstrap?.['initdb']))
  assert.deepEqual(bootstrap?.dcs, clusterConfiguration({ ...leading, durability: 'strict', sizes: tiers.standard }))
})

test('restored data become a cluster’s; where there are none, none are made', () => {
  const restored = { ...input, begins: 'restoredData' } as const
  const { bootstrap } = patroniOf(restored)
  assert.deepEqual([bootstrap?.['method'], bootstrap?.['nothing'], bootstrap?.['initdb']], ['nothing', { command: '/usr/bin/false' }, undefined])
  assert.equal(contentOf(renderClusterMember(restored), '/conf/initialise'), '')
})

test('taking the permission back, and a renewed certificate, are reloads', () => {
  const hash = (over: Partial<ClusterMemberInput>): string => renderClusterMember({ ...input, ...over }).restartHash
  assert.equal(hash({ begins: 'newDatabase' }), hash({}))
  assert.notEqual(hash({ sizes: tiers.pro }), hash({ sizes: tiers.standard }))
})

test('rules of a standalone stay the same, and Patroni comes in by the socket', () => {
  const [own, every] = [renderClusterMember(input), renderMember(member)]
  for (const path of ['/conf/pg_hba.conf', '/conf/pg_ident.conf']) assert.ok(contentOf(own, path).includes(contentOf(every, path)))
  const rules = contentOf(own, '/conf/pg_hba.conf').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  assert.match(rules[0] ?? '', /^local +replication +holdfast_replicator +peer map=patroni$/)
})

test('strict waits for both replicas, quorum for any one, and neither for none', () => {
  const of = (durability: 'strict' | 'quorum') => clusterConfiguration({ ...leading, durability, sizes: tiers.standard })
  assert.deepEqual([of('strict')['synchronous_mode'], of('strict')['synchronous_node_count']], [true, 2])
  assert.deepEqual([of('quorum')['synchronous_mode'], of('quorum')['synchronous_node_count']], ['quorum', 1])
  for (const durability of ['strict', 'quorum'] as const) assert.equal(of(durability)['synchronous_mode_strict'], true)
})

test('a leader that lost etcd has stopped before anybody else may lead', () => {
  const times = z.object({ ttl: z.int(), loop_wait: z.int(), retry_timeout: z.int(), primary_stop_timeout: z.int() })
  const { ttl, loop_wait, retry_timeout, primary_stop_timeout } = times.parse(clusterConfiguration({ ...leading, durability: 'strict', sizes: tiers.standard }))
  assert.ok(loop_wait + retry_timeout + primary_stop_timeout < ttl)
  assert.ok(loop_wait + 2 * retry_timeout <= ttl)
})

test('WAL that nobody acknowledged keeps no synchronous replica from leading', () => {
  assert.ok(Number(clusterConfiguration({ ...leading, durability: 'strict', sizes: tiers.pro })['maximum_lag_on_failover']) > tiers.pro.storageBytes)
})

test('what Patroni puts above every file agrees with the tier', () => {
  for (const name of tierNames) {
    const { postgresql } = z.looseObject({ postgresql: z.looseObject({ parameters: z.record(z.string(), z.unknown()) }) }).parse(clusterConfiguration({ ...leading, durability: 'strict', sizes: tiers[name] }))
    assert.equal(postgresql.parameters['max_connections'], tiers[name].maxConnections)
  }
})
