import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderEndpoint } from '../../src/render/endpoint.ts'
import { certificatePem, contentOf, endpoint, privateKeyPem } from './inputs.ts'

const rendered = renderEndpoint(endpoint)
const haproxy = contentOf(rendered, '/conf/haproxy.cfg')
const pgbouncer = contentOf(rendered, '/conf/pgbouncer.ini')

/** The lines of one section of haproxy.cfg. */
function section(name: string): string[] {
  const [, rest = ''] = haproxy.split(new RegExp(`^${name}$`, 'm'))
  return (rest.split(/\n(?=\S)/)[0] ?? '').split('\n').map((line) => line.trim()).filter((line) => line !== '')
}

test('the public face asks the allow-list, the private one does not', () => {
  const guard = 'tcp-request connection reject unless { src -f /conf/allowlist.lst }'
  for (const name of ['fe_rw_public', 'fe_ro_public', 'fe_pooled_public']) assert.ok(section(`frontend ${name}`).includes(guard), name)
  for (const name of ['fe_rw', 'fe_ro']) assert.ok(!section(`frontend ${name}`).includes(guard), name)
})

test('an empty allow-list lets nobody in', () => {
  assert.equal(contentOf(renderEndpoint({ ...endpoint, allowList: [] }), '/conf/allowlist.lst'), '\n')
})

test('the runtime port is for the certificate of the controller alone', () => {
  const runtime = section('frontend fe_runtime')
  assert.ok(runtime.some((line) => line.startsWith('bind :9999 ssl') && line.endsWith('verify required')))
  assert.ok(runtime.includes('tcp-request session reject unless { ssl_c_s_dn(cn) -m str controller.lab }'))
})

test('the standalone is one server, without a check and without retries', () => {
  assert.deepEqual(section('backend be_rw').filter((line) => line.startsWith('server')), ['server standalone 172.17.0.1:25432'])
  assert.match(haproxy, /^ {2}retries 0$/m)
})

test('the pooler goes through the endpoint itself and verifies the name', () => {
  assert.match(pgbouncer, /^shop = host=endpoint-0000000000e1\.holdfast\.internal port=5432 dbname=shop$/m)
  assert.match(pgbouncer, /^shop_ro = host=endpoint-0000000000e1\.holdfast\.internal port=5433 dbname=shop$/m)
  assert.match(pgbouncer, /^server_tls_sslmode = verify-full$/m)
  assert.match(pgbouncer, /^client_tls_sslmode = require$/m)
})

test('the console of the pooler is for the certificate of the controller', () => {
  const rules = contentOf(rendered, '/conf/pgbouncer_hba.conf').split('\n').filter((line) => !line.startsWith('#'))
  assert.match(rules[0] ?? '', /^hostssl +pgbouncer +"controller\.lab" +all +cert$/)
  assert.match(rules[1] ?? '', /^host +pgbouncer +all +all +reject$/)
  assert.equal(contentOf(rendered, '/conf/pgbouncer_users.txt'), '"controller.lab" ""\n')
})

test('HAProxy gets certificate and key in one file, which is a secret', () => {
  assert.equal(contentOf(rendered, '/conf/tls/server.pem'), certificatePem + privateKeyPem)
  assert.deepEqual(rendered.files.filter((file) => file.secret).map((file) => file.path).sort(), [
    '/conf/tls/client.key', '/conf/tls/server.key', '/conf/tls/server.pem',
  ])
})

test('another allow-list is another configuration, its order is not', () => {
  const reversed = renderEndpoint({ ...endpoint, allowList: [...endpoint.allowList].reverse() })
  assert.equal(reversed.configHash, rendered.configHash)
  assert.notEqual(renderEndpoint({ ...endpoint, allowList: ['0.0.0.0/0'] }).configHash, rendered.configHash)
})

test('nothing can be smuggled into the configuration', () => {
  assert.throws(() => renderEndpoint({ ...endpoint, databaseName: 'shop\nadmin_users = eve' }))
  assert.throws(() => renderEndpoint({ ...endpoint, databaseName: 'shop dbname=postgres' }))
  assert.throws(() => renderEndpoint({ ...endpoint, target: { kind: 'standalone', address: '10.0.0.1:1 check', port: 1 } }))
  assert.throws(() => renderEndpoint({ ...endpoint, allowList: ['0.0.0.0/0\n'] }))
  assert.throws(() => renderEndpoint({ ...endpoint, installation: 'lab } or { always_true' }))
})
