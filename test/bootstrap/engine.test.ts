import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CommandFailed, runCommand } from '../../src/bootstrap/command.ts'
import { candidates, openDocker } from '../../src/bootstrap/dockerConnection.ts'
import { ensureEngine, gatewayOf } from '../../src/bootstrap/engine.ts'
import { isDebianLike } from '../../src/bootstrap/machine.ts'
import { withProcessLock } from '../../src/bootstrap/processLock.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)

test('a DOCKER_HOST that does not answer is an error, and no other engine is tried or installed', async () => {
  const env = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
  assert.deepEqual(await candidates(env), [{ engine: env.DOCKER_HOST }])
  await assert.rejects(ensureEngine({ report: () => assert.fail('nothing to do'), signal: signal(), env }), { code: 'EngineMissing', message: /DOCKER_HOST/ })
})

test('without DOCKER_HOST the usual sockets are tried, the system’s first', async () => {
  const [first, second] = await candidates({ XDG_RUNTIME_DIR: '/run/user/7' })
  assert.equal(first?.engine, 'unix:///var/run/docker.sock')
  assert.equal(second?.engine, 'unix:///run/user/7/docker.sock')
})

test('an address that is no address is refused', () => {
  for (const engine of ['http://x', 'tcp://host', 'nonsense']) assert.throws(() => openDocker({ engine }), { code: 'ConfigInvalid' })
})

test('the private address is the gateway, or the first address of the subnet while the engine does not name it', () => {
  assert.equal(gatewayOf([{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.9' }]), '172.17.0.9')
  assert.equal(gatewayOf([{ Subnet: '172.17.0.0/16' }]), '172.17.0.1')
  assert.equal(gatewayOf([{ Subnet: 'fd00::/64' }, { Subnet: '10.9.8.128/25', Gateway: '' }]), '10.9.8.129')
  assert.throws(() => gatewayOf([]), { code: 'EngineMissing' })
})

test('Debian and what descends from it is told by its release file', () => {
  assert.ok(isDebianLike('PRETTY_NAME="x"\nID=debian\n'))
  assert.ok(isDebianLike('ID=linuxmint\nID_LIKE="ubuntu debian"\n'))
  assert.ok(!isDebianLike('ID=fedora\nHOME_URL="https://debian.example"\n'))
  assert.ok(!isDebianLike(''))
})

test('two holders of a lock take turns, and a failure gives it back', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hf-lock-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'lock')
  let inside = 0
  let most = 0
  const turn = (): Promise<void> => withProcessLock(path, signal(), async () => {
    inside += 1
    most = Math.max(most, inside)
    await stat(path)
    inside -= 1
  })
  await assert.rejects(withProcessLock(path, signal(), () => Promise.reject(new Error('mine'))), /mine/)
  await Promise.all([turn(), turn(), turn(), turn()])
  assert.equal(most, 1)
})

test('waiting for a lock ends with the caller’s signal', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hf-lock-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'lock')
  await withProcessLock(path, signal(), async () => {
    await assert.rejects(withProcessLock(path, AbortSignal.timeout(100), () => Promise.resolve()))
  })
})

test('a command that fails says so with the end of its output, and one that hangs is ended', async () => {
  await runCommand('true', [], { timeoutMs: 5_000, signal: signal() })
  await assert.rejects(runCommand('sh', ['-c', 'echo the reason >&2; exit 9'], { timeoutMs: 5_000, signal: signal() }), (error) =>
    error instanceof CommandFailed && /ended with 9: the reason/.test(error.message))
  await assert.rejects(runCommand('sleep', ['60'], { timeoutMs: 100, signal: signal() }), /did not end within 100 ms/)
  await assert.rejects(runCommand('/nonexistent', [], { timeoutMs: 5_000, signal: signal() }), CommandFailed)
})
