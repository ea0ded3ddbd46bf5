import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import { tierNames, tiers } from '../../src/domain/tiers.ts'
import { renderMember } from '../../src/render/member.ts'
import { postgresSettings } from '../../src/render/postgresSettings.ts'
import { contentOf, endpointId, instanceId, member } from './inputs.ts'

test('a member gets its configuration, its identity and its certificate', () => {
  const { files } = renderMember(member)
  assert.deepEqual(files.map((file) => file.path).sort(), [
    '/conf/initialise', '/conf/instance', '/conf/pg_hba.conf', '/conf/pg_ident.conf', '/conf/pgbackrest.conf', '/conf/postgresql.conf',
    '/conf/revision.conf', '/conf/tls/ca.crt', '/conf/tls/server.crt', '/conf/tls/server.key',
  ])
  assert.deepEqual(files.filter((file) => file.secret).map((file) => file.path), ['/conf/tls/server.key'])
  assert.ok(files.every((file) => file.mode === 0o600))
})

test('certificates are mapped to roles by their common names, and to nothing else', () => {
  const ident = contentOf(renderMember(member), '/conf/pg_ident.conf').split('\n').filter((line) => line.startsWith('holdfast'))
  assert.deepEqual(ident.map((line) => line.split(/\s+/)), [
    ['holdfast', '"controller.lab"', 'postgres'],
    ['holdfast', `"agent.${instanceId}"`, 'holdfast_wal'],
    ['holdfast', `"member.${instanceId}"`, 'holdfast_replicator'],
    ['holdfast', `"member.${instanceId}"`, 'holdfast_rewind'],
    ['holdfast', `"pooler.${endpointId}"`, 'holdfast_pooler'],
  ])
})

test('a member refuses everybody without TLS, and our roles without a certificate', () => {
  const rules = contentOf(renderMember(member), '/conf/pg_hba.conf').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const first = (pattern: RegExp): number => rules.findIndex((line) => pattern.test(line))
  assert.ok(first(/^hostnossl .*reject$/) < first(/^hostssl/))
  assert.ok(first(/"\/\^holdfast_" .*reject$/) < first(/scram-sha-256$/))
  assert.deepEqual(rules.filter((line) => /^host(?:ssl)?\s+\S+\s+(?:postgres|holdfast_\w+)\s/.test(line) && !line.endsWith('cert map=holdfast')), [])
  assert.equal(rules.filter((line) => /\b(?:trust|md5|password)$/.test(line)).length, 0)
})

test('only the agent of this instance may read its files', () => {
  const text = contentOf(renderMember(member), '/conf/pgbackrest.conf')
  assert.deepEqual(text.match(/^tls-server-auth=.*$/gm), [`tls-server-auth=agent.${instanceId}=main`])
  assert.doesNotMatch(text, /repo\d-/)
})

test('the running server tells the hash of what it has loaded', () => {
  const rendered = renderMember(member)
  assert.equal(contentOf(rendered, '/conf/revision.conf'), `holdfast.config_hash = '${rendered.configHash}'\n`)
})

test('a renewed certificate asks for a reload, another memory size for a restart', () => {
  const before = renderMember(member)
  const renewed = renderMember({ ...member, server: { ...member.server, keyPem: new Secret('-----BEGIN PRIVATE KEY-----\nT3RoZXI=\n-----END PRIVATE KEY-----\n') } })
  assert.notEqual(renewed.configHash, before.configHash)
  assert.equal(renewed.restartHash, before.restartHash)
  const larger = renderMember({ ...member, sizes: { ...tiers.starter, storageBytes: tiers.starter.storageBytes * 2 } })
  assert.equal(larger.restartHash, before.restartHash)
  const stronger = renderMember({ ...member, sizes: tiers.standard })
  assert.notEqual(stronger.restartHash, before.restartHash)
})

test('the same input renders the same bytes, whatever the order of its endpoints', () => {
  const other = '00000000-0000-4000-8000-0000000000e2'
  const one = renderMember({ ...member, endpointIds: [endpointId, other] })
  assert.equal(one.configHash, renderMember({ ...member, endpointIds: [other, endpointId] }).configHash)
})

test('an id that is none cannot reach a file', () => {
  for (const bad of ['x\ny', 'a b', '"', '../..']) {
    assert.throws(() => renderMember({ ...member, instanceId: bad }))
    assert.throws(() => renderMember({ ...member, endpointIds: [bad] }))
  }
})

test('the permission to initialise is part of the configuration, so that taking it back is seen', () => {
  const [may, mayNot] = [true, false].map((mayInitialise) => renderMember({ ...member, mayInitialise }))
  assert.equal(may && contentOf(may, '/conf/initialise'), `${instanceId}\n`)
  assert.equal(mayNot && contentOf(mayNot, '/conf/initialise'), '')
  assert.notEqual(may?.configHash, mayNot?.configHash)
})

test('every tier fits into its memory and its disk', () => {
  for (const name of tierNames) {
    const tier = tiers[name]
    const settings = postgresSettings(tier)
    const bytes = (setting: string): number => Number(/^(\d+)MB$/.exec(settings[setting] ?? '')?.[1]) * 1024 * 1024
    assert.ok(bytes('shared_buffers') + bytes('work_mem') * tier.maxConnections + 3 * bytes('autovacuum_work_mem') < tier.memoryBytes, name)
    assert.ok(bytes('max_wal_size') + bytes('max_slot_wal_keep_size') + bytes('wal_keep_size') < tier.storageBytes / 2, name)
    assert.ok(bytes('min_wal_size') <= bytes('max_wal_size'), name)
  }
})

test('a disk smaller than its tier’s is not filled by WAL that waits for the object store', () => {
  for (const mib of [384, 512, 1024, 2048]) {
    const settings = postgresSettings({ ...tiers.starter, storageBytes: mib * 1024 * 1024 })
    const megabytes = Number(/^(\d+)MB$/.exec(settings['max_slot_wal_keep_size'] ?? '')?.[1])
    assert.ok(megabytes >= 64 && megabytes <= mib / 4, `${megabytes} MiB of ${mib}`)
  }
})
