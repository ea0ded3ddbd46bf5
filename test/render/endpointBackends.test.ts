import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { renderEndpoint, type EndpointInput } from '../../src/render/endpoint.ts'
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

test('a standalone’s proxy gets the very bytes that it had before there were clusters', () => {
  const standalone = contentOf(renderEndpoint(endpoint), '/conf/haproxy.cfg')
  assert.equal(createHash('sha256').update(standalone).digest('hex'), '4093a7b70ec5192486e132bef4d03b78ba08af52be0c59be942c395909ddaf56')
  assert.doesNotMatch(standalone, /lua|httpchk/)
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
