/** The order to copy: who has it, for how long, and how fast. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Desired, Instance } from '../../src/domain/desired.ts'
import { tiers } from '../../src/domain/tiers.ts'
import { configurationText } from '../../src/render/clusterConfiguration.ts'
import { renderClusterMember, type ClusterMemberInput } from '../../src/render/clusterMember.ts'
import { copyFiles } from '../../src/render/serverCopy.ts'
import { sampleCluster } from '../cluster/sample.ts'
import { contentOf, instanceId, member } from './inputs.ts'

const now = new Date('2026-03-01T12:00:00Z')
const { desired, instance: cluster } = await sampleCluster({
  installation: 'hft', subnet: '10.9.0.0/24', firstPort: 25_000, privateAddress: '172.17.0.1', images: { postgres: 'holdfast/postgres:1', haproxy: 'holdfast/haproxy:1' }, now,
}, { durability: 'strict', addresses: ['172.17.0.1', '172.17.0.1', '172.17.0.1'] })
const server: Instance = { ...cluster, id: instanceId, kind: 'standalone', role: 'rollbackTarget', cluster: null, initialisedAt: null, keptUntil: null, members: cluster.members.slice(0, 1) }
const served: Desired = { ...desired, instances: [{ ...cluster, role: 'serving' }, server] }
const linesFor = (change: Partial<Instance>, rateMib?: number): readonly (readonly string[])[] => copyFiles(served, { ...server, ...change }, rateMib).map(({ content }) => content.split('\n'))

test('a server that is made for a downgrade is told whom to copy, as which slot’s owner, and how fast', () => {
  const [lines = assert.fail('no order')] = linesFor({}, 12)
  assert.deepEqual([lines[0], lines[2], lines[3]], [instanceId, 'holdfast_follower', '12'])
  const ports = cluster.members.map((one) => one.ports.postgres).join()
  assert.ok(lines[1]?.startsWith(`host=172.17.0.1,172.17.0.1,172.17.0.1 port=${ports} target_session_attrs=read-write user=holdfast_replicator sslmode=verify-full`), lines[1])
  assert.equal(linesFor({})[0]?.[3], '0')
})

test('the order is taken back when the copy was seen, and nobody else ever has it', () => {
  assert.deepEqual(linesFor({ initialisedAt: now }), [['']])
  assert.deepEqual(linesFor({ keptUntil: now }), [])
  assert.deepEqual(linesFor({ role: 'serving' }), [])
  assert.deepEqual(copyFiles({ ...served, instances: [server] }, server, 12), [])
})

test('the copies that Patroni takes are held to the same rate, and are as fast as they can be without one', () => {
  const input: ClusterMemberInput = {
    ...member, begins: null, name: 'm1', names: ['m1'], address: '10.0.0.7', ports: { postgres: 25_432, patroni: 25_434 }, namespace: '/holdfast/lab/',
    scope: { scope: instanceId, user: 'u', password: cluster.repository.cipher }, dcs: { hosts: [{ host: '10.0.0.1', port: 2379 }], caPem: null, client: null },
    configurationText: configurationText({ follows: null, isFollowed: false, durability: 'strict', sizes: tiers.standard }),
  }
  const schema = z.looseObject({ postgresql: z.looseObject({ basebackup: z.unknown() }) })
  const basebackup = (one: ClusterMemberInput): unknown => schema.parse(parse(contentOf(renderClusterMember(one), '/conf/patroni.yml'))).postgresql.basebackup
  assert.deepEqual(basebackup(input), [{ checkpoint: 'fast' }])
  assert.deepEqual(basebackup({ ...input, copyRateMib: 12 }), [{ checkpoint: 'fast' }, { 'max-rate': '12M' }])
})
