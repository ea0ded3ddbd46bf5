import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderEndpoint, type EndpointInput } from '../../src/render/endpoint.ts'
import { configHash } from '../../src/render/rendered.ts'
import { certificatePem, contentOf, endpoint, privateKeyPem } from './inputs.ts'

const servers = [1, 2, 3].map((ordinal) => ({
  name: `m00000000000${ordinal}`, address: '172.17.0.1', ports: { postgres: 25_430 + ordinal, patroni: 28_000 + ordinal },
  serverName: `member-00000000000${ordinal}.holdfast.internal`,
}))
const cluster: EndpointInput = { ...endpoint, target: { kind: 'cluster', servers } }
const rendered = renderEndpoint(cluster)
const haproxy = contentOf(rendered, '/conf/haproxy.cfg')

function section(name: string): string[] {
  const [, rest = ''] = haproxy.split(new RegExp(`^backend ${name}$`, 'm'))
  return (rest.split(/\n(?=\S)/)[0] ?? '').split('\n').map((line) => line.trim()).filter((line) => line !== '')
}

const serversOf = (name: string): string[] => section(name).filter((line) => line.startsWith('server '))

test('each member is a server that is asked after its health under its own name, with certificates on both sides', () => {
  for (const backend of ['be_rw', 'be_ro']) {
    assert.equal(serversOf(backend)[1], 'server m000000000002 172.17.0.1:25432 check port 28002 check-ssl ca-file /conf/tls/ca.crt'
      + ' crt /conf/tls/client.pem verify required verifyhost member-000000000002.holdfast.internal')
  }
  assert.equal(contentOf(rendered, '/conf/tls/client.pem'), certificatePem + privateKeyPem)
})

test('who leads has the lease and is out of recovery; sessions on a former leader end', () => {
  const rules = section('be_rw')
  assert.ok(rules.includes('http-check send meth GET uri /primary') && rules.includes('http-check expect status 200'))
  assert.ok(rules.includes(String.raw`http-check expect rstring "\"state\": \"running\".*\"role\": \"primary\""`))
  assert.match(haproxy, /^ {2}lua-load \S+\/end-sessions\.lua$/m)
  assert.ok(!rules.some((rule) => rule.includes('on-marked-down')), 'it forgets clients that are just being connected')
})

test('reads go to replicas, and to the leader while there is none', () => {
  assert.ok(section('be_ro').includes('http-check send meth OPTIONS uri /replica'))
  assert.deepEqual(serversOf('be_ro').slice(3), servers.map(({ name, ports }) => `server leader-${name} 172.17.0.1:${ports.postgres} backup track be_rw/${name}`))
})

test('new clients wait while nobody can take them, and every wait is bounded by the inspection', () => {
  for (const backend of ['be_rw', 'be_ro']) {
    assert.deepEqual(section(backend).filter((line) => line.startsWith('tcp-request')), [
      'tcp-request inspect-delay 10s', `tcp-request content lua.await_server ${backend}`,
    ])
  }
})

test('in front of a standalone clients wait for its planned restarts, and nobody asks after its health', () => {
  const standalone = contentOf(renderEndpoint(endpoint), '/conf/haproxy.cfg')
  assert.match(standalone, /^ {2}lua-load \/conf\/await-restart\.lua$/m)
  assert.doesNotMatch(standalone, /httpchk/)
})

test('while clients are moved both are there: the standalone serves, or is out of use, and who follows it is read from only in its place', () => {
  const backends = (serves: 'standalone' | 'cluster'): string => contentOf(renderEndpoint({ ...endpoint, target: { kind: 'moving', serves, address: '172.17.0.1', port: 25_432, servers } }), '/conf/haproxy.cfg')
  const linesOf = (text: string, name: string): string[] => (text.split(new RegExp(`^backend ${name}$`, 'm'))[1]?.split(/\n(?=\S)/)[0] ?? '').split('\n').map((line) => line.trim()).filter((line) => line.startsWith('server '))
  const before = backends('standalone')
  assert.equal(linesOf(before, 'be_rw')[0], 'server standalone 172.17.0.1:25432 backup', 'whoever leads comes first')
  assert.equal(linesOf(before, 'be_rw').length, 4)
  assert.ok(linesOf(before, 'be_ro').slice(1).every((line) => line.endsWith(' backup')))
  const after = backends('cluster')
  assert.equal(linesOf(after, 'be_rw')[0], 'server standalone 172.17.0.1:25432 backup disabled')
  assert.equal(linesOf(after, 'be_ro')[0], 'server standalone 172.17.0.1:25432 disabled')
  assert.equal(linesOf(after, 'be_ro').filter((line) => line.includes('track be_rw/')).length, 3)
})

test('a proxy finds every script that it loads beside its configuration, and begins anew when one of them is another', () => {
  for (const one of [endpoint, cluster]) {
    const all = renderEndpoint(one)
    const loaded = [...contentOf(all, '/conf/haproxy.cfg').matchAll(/^ {2}lua-load (\S+)/gm)].map(([, path]) => path)
    assert.ok(loaded.length > 1)
    for (const path of loaded) assert.notEqual(contentOf(all, path ?? ''), '')
    const scripts = all.files.filter(({ path }) => loaded.includes(path))
    assert.ok(contentOf(all, '/conf/haproxy.cfg').includes(`# scripts ${configHash(scripts)}`))
  }
})

test('other servers are another configuration, and nothing can be smuggled into one', () => {
  const fewer = renderEndpoint({ ...cluster, target: { kind: 'cluster', servers: servers.slice(1) } })
  assert.notEqual(fewer.configHash, rendered.configHash)
  const [first] = servers
  assert.ok(first !== undefined)
  for (const change of [{ name: 'm1 disabled' }, { address: '10.0.0.1:1 check' }, { serverName: 'a\nb' }, { ports: { postgres: 0, patroni: 1 } }]) {
    assert.throws(() => renderEndpoint({ ...cluster, target: { kind: 'cluster', servers: [{ ...first, ...change }] } }))
  }
})
