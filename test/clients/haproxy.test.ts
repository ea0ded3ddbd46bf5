/** The runtime API of a real proxy, and our reading of its answers. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { loadedRevision, parseInfo, parseServersState, runtimeCommand, showInfo, showServersState, type RuntimeAddress } from '../../src/clients/haproxy.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { internalName } from '../../src/domain/names.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { openMember } from '../observer/memberRig.ts'

const rig = await openMember()
const { desired, controller, signal } = rig
const { endpoint } = desired
const [proxy] = endpoint?.proxies ?? []
assert.ok(endpoint !== null && proxy !== undefined)

function address(over: Partial<RuntimeAddress> = {}): RuntimeAddress {
  return {
    host: rig.host.privateAddress, port: proxy?.ports.runtime ?? 0, serverName: internalName.endpoint(endpoint?.id ?? ''),
    ca: desired.trustBundlePem, cert: controller.certificatePem, key: controller.keyPem, timeoutMs: 2_000, ...over,
  }
}

const unreachableFor = (reason: RegExp) => (error: unknown): boolean => {
  assert.ok(isHoldfastError(error), String(error))
  assert.equal(error.code, 'MemberUnreachable')
  assert.match(String(error.facts['reason']), reason)
  return true
}

before(() => rig.startProxy())
after(() => rig.sweep())

test('a proxy tells which configuration it has loaded', async () => {
  assert.equal(await loadedRevision(address(), signal), rig.proxyBlueprint().configHash)
})

test('a proxy tells about itself and its servers', async () => {
  const info = await showInfo(address(), signal)
  assert.match(info.version, /^3\./)
  assert.ok(info.pid > 0 && info.uptimeSeconds >= 0 && info.connections >= 0)
  const servers = await showServersState(address(), signal)
  const standalone = servers.find((server) => server.backend === 'be_rw')
  assert.deepEqual(
    [standalone?.server, standalone?.address, standalone?.port, standalone?.operational, standalone?.adminBits],
    ['standalone', rig.host.privateAddress, rig.member.ports.postgres, 'running', 0],
  )
})

test('what HAProxy refuses comes back as its own words, and a command is one line', async () => {
  assert.match(await runtimeCommand(address(), 'no such command', signal), /Unknown command/i)
  assert.throws(() => runtimeCommand(address(), 'show info\nshutdown sessions server be_rw/standalone'), RangeError)
})

test('the name in the certificate is verified, and its authority', async () => {
  await assert.rejects(showInfo(address({ serverName: 'endpoint-000000000000.holdfast.internal' })), unreachableFor(/does not carry the name/))
  const stranger = await createAuthority({ commonName: 'stranger', validityMs: 86_400_000, now: new Date() })
  await assert.rejects(showInfo(address({ ca: stranger.certPem })), unreachableFor(/not signed by our authority/))
})

test('every certificate but the controller’s is turned away', async () => {
  for (const purpose of ['member', 'agent', 'endpointClient'] as const) {
    const { certificatePem, keyPem } = rig.certificate(purpose)
    await assert.rejects(showInfo(address({ cert: certificatePem, key: keyPem })), unreachableFor(/closed|reset/), purpose)
  }
})

test('limits hold: the proxy that says nothing, the one that is not there, the pass that is given up', async () => {
  const { server, port } = await rig.silentServer()
  await assert.rejects(showInfo(address({ host: '127.0.0.1', port, timeoutMs: 100 })), unreachableFor(/no answer within/))
  await assert.rejects(showInfo(address({ host: '127.0.0.1', port }), AbortSignal.abort()), unreachableFor(/given up/))
  server.close()
  await assert.rejects(showInfo(address({ host: '127.0.0.1', port })), unreachableFor(/nothing listens there/))
})

test('answers of another shape are refused, not guessed at', () => {
  assert.throws(() => parseInfo('Name: HAProxy\nVersion: 3.0.11\n'), /Pid/)
  assert.throws(() => parseServersState('2\n# be_id\n'), /not version 1/)
  assert.throws(() => parseServersState('1\n# be_id be_name\n1 be_rw\n'), /srv_name/)
})
