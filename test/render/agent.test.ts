import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import { renderAgent } from '../../src/render/agent.ts'
import { backupCommand, renderRestore, restoreCommand, verifyCommand } from '../../src/render/restore.ts'
import { agent, contentOf, instanceId, repository } from './inputs.ts'

const rendered = renderAgent(agent)
const pull = contentOf(rendered, '/conf/pgbackrest.conf')
const push = contentOf(rendered, '/conf/push.conf')

test('the agent pulls with one configuration and pushes with another that knows no database host', () => {
  assert.match(pull, /^pg1-host=member-0000000000a1\.holdfast\.internal$/m)
  assert.match(pull, /^pg1-host-port=28432$/m)
  assert.doesNotMatch(push, /^pg/m)
  for (const text of [pull, push]) {
    assert.match(text, /^repo1-s3-key-secret=s3\+secret\/of=lab$/m)
    assert.match(text, /^repo1-cipher-pass=cipher of lab$/m)
    assert.match(text, /^repo1-storage-ca-file=\/conf\/s3\/ca\.crt$/m)
  }
})

test('files that hold keys of the store are secret', () => {
  assert.deepEqual(rendered.files.filter((file) => file.secret).map((file) => file.path).sort(), [
    '/conf/pgbackrest.conf', '/conf/push.conf', '/conf/tls/agent.key',
  ])
})

test('backups expire only when they are told to', () => {
  assert.match(pull, /^expire-auto=n$/m)
  assert.match(pull, /^repo1-retention-full-type=time\nrepo1-retention-full=7$/m)
})

test('a store with a public certificate needs no file of ours', () => {
  const files = renderAgent({ ...agent, repository: { ...repository, caPem: null } }).files
  assert.ok(files.every((file) => !file.path.startsWith('/conf/s3/') && !file.content.includes('repo1-storage-ca-file')))
})

test('a secret with a line feed in it is refused without being shown', () => {
  const cipher = new Secret('one\nrepo1-path=/elsewhere')
  assert.throws(() => renderAgent({ ...agent, repository: { ...repository, cipher } }), (error: Error) => !error.message.includes('elsewhere'))
})

test('a restore reads the source and can write to nothing but its volume', () => {
  const restore = renderRestore({ instanceId, repository })
  const text = contentOf(restore, '/conf/pgbackrest.conf')
  assert.match(text, /^pg1-path=\/data\/pg\.new$/m)
  assert.doesNotMatch(text, /pg1-host|retention/)
  assert.equal(contentOf(restore, '/conf/instance'), `${instanceId}\n`)
})

test('commands name the point to restore to', () => {
  const target = new Date('2026-11-21T22:16:57.429Z')
  assert.deepEqual(restoreCommand({ kind: 'latest' }), ['job', 'restore', 'latest'])
  assert.deepEqual(restoreCommand({ kind: 'time', target, label: null }), ['job', 'restore', 'time', '2026-11-21T22:16:57.429Z'])
  assert.deepEqual(restoreCommand({ kind: 'backup', label: '20261121-221625F_20261121-221653I' }), ['job', 'restore', 'backup', '20261121-221625F_20261121-221653I'])
  assert.deepEqual(backupCommand('incremental'), ['job', 'backup', 'incr'])
  assert.throws(() => verifyCommand('20261121-221625F --repo=2'))
})

test('of a cluster the agent follows whoever leads, and its jobs know every member', () => {
  const ids = ['a1', 'a2', 'a3'].map((end) => `00000000-0000-4000-8000-0000000000${end}`)
  const [first, ...others] = ids.map((id, index) => ({ id, ports: { postgres: 25_000 + index, backup: 26_000 + index } }))
  assert.ok(first !== undefined)
  const cluster = renderAgent({ ...agent, members: [first, ...others] })
  const service = contentOf(cluster, '/conf/pg_service.conf')
  assert.match(service, /^host=member-0000000000a1\.holdfast\.internal,member-0000000000a2\.holdfast\.internal,member-0000000000a3\.holdfast\.internal$/m)
  assert.match(service, /^port=25000,25001,25002$/m)
  assert.match(service, /^target_session_attrs=primary$/m)
  assert.match(contentOf(cluster, '/conf/members.conf'), /^member-0000000000a2\.holdfast\.internal 26001$/m)
  assert.equal(contentOf(cluster, '/conf/pgbackrest.conf').match(/^pg\d-host=/gm)?.length, 1)
})
