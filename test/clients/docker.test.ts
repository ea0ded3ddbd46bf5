/** Against the real engine, with throw-away containers that carry a run label of their own. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { ensureBaseImage } from '../../src/bootstrap/baseImage.ts'
import { connectEngine, type EngineEvent } from '../../src/clients/docker.ts'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { label } from '../../src/domain/names.ts'
import { openTestEngine } from '../e2e/testEngine.ts'
import { runLabelOf } from '../harness/testRun.ts'

const engineAddress = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock'
const run = runLabelOf(`docker-${randomBytes(4).toString('hex')}`)
const installation = `hft${randomBytes(3).toString('hex')}`
const ours = { [label.installation]: installation, [label.run]: run }
const subnet = `10.${200 + (randomBytes(1)[0] ?? 0) % 50}.${randomBytes(1)[0] ?? 0}.0/28`
const networkName = `${installation}-net`
const image = 'debian:trixie-slim'
const engine = connectEngine({ engine: engineAddress, labels: { [label.run]: run } })
const signal = AbortSignal.timeout(700_000)

function blueprint(name: string, over: Partial<Blueprint> = {}): Blueprint {
  return {
    name: `${installation}-${name}`,
    hostId: 'here',
    image,
    command: ['sleep', '300'],
    labels: { [label.installation]: installation },
    mounts: [{ volume: `${installation}-${name}-conf`, path: '/conf' }],
    network: { name: networkName, aliases: [name] },
    ports: [],
    extraHosts: ['other.holdfast.internal:172.17.0.1'],
    limits: { memoryBytes: 64 * 1024 * 1024, cpus: 0.5, pids: 32, shmBytes: 8 * 1024 * 1024 },
    restart: 'no',
    files: [],
    specHash: 's',
    configHash: 'c',
    ...over,
  }
}

async function sweep(): Promise<void> {
  const labels = { [label.run]: run }
  for (const container of await engine.listContainers(labels, signal)) await engine.removeContainer(container.id, { force: true }, signal)
  for (const volume of await engine.listVolumes(labels, signal)) await engine.removeVolume(volume.name, signal)
  for (const network of await engine.listNetworks(labels, signal)) await engine.removeNetwork(network.name, signal)
}

const code = (wanted: string) => (error: unknown): boolean => isHoldfastError(error) && error.code === wanted

async function started(print: Blueprint): Promise<string> {
  const { id } = await engine.createContainer(print, signal)
  await engine.startContainer(id, signal)
  return id
}

before(async () => {
  const { docker } = await openTestEngine(installation)
  await ensureBaseImage({ docker, report: () => undefined, signal })
  await engine.createNetwork({ name: networkName, subnet, labels: ours }, signal)
})
after(sweep)

test('a container is created with our security profile, gets files, runs, stops and is removed; each step may be repeated', async () => {
  const print = blueprint('life')
  const { id, existed } = await engine.createContainer(print, signal)
  assert.equal(existed, false)
  assert.deepEqual(await engine.createContainer(print, signal), { id, existed: true })
  const files = [
    { path: '/conf/a.conf', content: 'a = 1\n', mode: 0o600, secret: false },
    { path: '/conf/tls/deep/server.key', content: 'key', mode: 0o400, secret: true },
  ]
  await engine.putFiles(id, print.mounts, files, signal)
  await engine.startContainer(id, signal)
  await engine.startContainer(id, signal)
  await engine.putFiles(id, print.mounts, files, signal)

  const seen = await engine.exec(id, ['sh', '-c', 'id -u; stat -c "%a %u:%g %n" /conf/a.conf /conf/tls/deep /conf/tls/deep/server.key; cat /conf/a.conf; grep -E "CapEff|NoNewPrivs" /proc/self/status; touch /x 2>&1; touch /run/ok && echo run; getent hosts other.holdfast.internal; exit 3'], {}, signal)
  assert.equal(seen.exitCode, 3)
  assert.match(seen.stdout, /^5432\n600 5432:5432 \/conf\/a.conf\n700 5432:5432 \/conf\/tls\/deep\n400 5432:5432 \/conf\/tls\/deep\/server.key\na = 1\n/)
  assert.match(seen.stdout, /CapEff:\t0000000000000000\nNoNewPrivs:\t1\n/)
  assert.match(seen.stdout, /Read-only file system\nrun\n172\.17\.0\.1\s+other/)

  assert.equal((await engine.inspectContainer(print.name, signal)).state, 'running')
  await assert.rejects(engine.removeContainer(id, { force: false }, signal), code('Conflict'))
  await engine.stopContainer(id, 0, signal)
  await engine.stopContainer(id, 0, signal)
  const stopped = await engine.inspectContainer(id, signal)
  assert.equal(stopped.state, 'exited')
  assert.equal(stopped.exitCode, 137)
  assert.notEqual(stopped.finishedAt, null)
  assert.equal(await engine.killContainer(id, 'SIGHUP', signal), false)
  await engine.removeContainer(id, { force: false }, signal)
  await engine.removeContainer(id, { force: false }, signal)
  assert.equal(await engine.findContainer(id, signal), null)
  await assert.rejects(engine.inspectContainer(id, signal), code('NotFound'))
})

test('a list by label shows containers of every state with their published ports', async () => {
  const address = '127.0.0.1'
  const port = 31_000 + (randomBytes(2).readUInt16BE() % 400)
  const print = blueprint('listed', { ports: [{ containerPort: 5432, address, hostPort: port }] })
  const id = await started(print)
  const labels = { [label.installation]: installation }
  const [seen] = (await engine.listContainers(labels, signal)).filter((container) => container.id === id)
  assert.equal(seen?.state, 'running')
  assert.deepEqual(seen?.ports, [{ containerPort: 5432, hostPort: port, address }])
  assert.equal(seen?.labels[label.run], run)

  const second = await engine.createContainer(blueprint('second', { ports: print.ports }), signal)
  await assert.rejects(engine.startContainer(second.id, signal), code('ResourceConflict'))
})

test('a name, a volume or a network of somebody else is a conflict and stays as it is', async () => {
  const others = { [label.installation]: 'somebody-else' }
  const { id } = await engine.createContainer(blueprint('theirs', { labels: others }), signal)
  await assert.rejects(engine.createContainer(blueprint('theirs'), signal), code('ResourceConflict'))
  assert.equal((await engine.inspectContainer(id, signal)).state, 'created')

  const volume = `${installation}-theirs`
  await engine.createVolume({ name: volume, labels: others }, signal)
  await engine.createVolume({ name: volume, labels: others }, signal)
  await assert.rejects(engine.createVolume({ name: volume, labels: ours }, signal), code('ResourceConflict'))

  await engine.createNetwork({ name: networkName, subnet, labels: ours }, signal)
  await assert.rejects(engine.createNetwork({ name: networkName, subnet, labels: others }, signal), code('ResourceConflict'))
  await assert.rejects(engine.createNetwork({ name: `${networkName}-2`, subnet, labels: ours }, signal), code('ResourceConflict'))
})

test('a volume in use and a network in use are not removed; absent ones count as removed', async () => {
  const id = await started(blueprint('user'))
  await assert.rejects(engine.removeVolume(`${installation}-user-conf`, signal), code('Conflict'))
  await assert.rejects(engine.removeNetwork(networkName, signal), code('Conflict'))
  await engine.removeContainer(id, { force: true }, signal)
  await engine.removeVolume(`${installation}-user-conf`, signal)
  await engine.removeVolume(`${installation}-user-conf`, signal)
  await engine.removeNetwork(`${installation}-never`, signal)
  assert.equal(await engine.findVolume(`${installation}-user-conf`, signal), null)
})

test('logs and exit codes are read, output is bounded and long waits end', async () => {
  const id = await started(blueprint('job', { command: ['sh', '-c', 'echo one; echo two; echo oops >&2; exit 7'] }))
  assert.equal(await engine.waitExit(id, 10_000, signal), 7)
  assert.equal(await engine.logs(id, { tail: 10 }, signal), 'one\ntwo\noops\n')
  assert.equal(await engine.logs(id, { tail: 10, stderr: false }, signal), 'one\ntwo\n')

  const running = await started(blueprint('talker'))
  const much = await engine.exec(running, ['sh', '-c', 'yes | head -c 3000000; echo end >&2'], {}, signal)
  assert.equal(much.stdout.length, 1024 * 1024)
  assert.equal(much.stderr, 'end\n')
  await assert.rejects(engine.exec(running, ['sleep', '30'], { timeoutMs: 300 }, signal), code('TimedOut'))
  await assert.rejects(engine.waitExit(running, 300, signal), code('EngineUnreachable'))
})

test('events are told as they happen and those missed are told afterwards', async () => {
  const seen: EngineEvent[] = []
  const stop = new AbortController()
  const sinceNano = Date.now() * 1e6
  const opened = Promise.withResolvers<void>()
  const died = Promise.withResolvers<void>()
  const following = engine.events({ labels: { [label.run]: run }, onOpen: opened.resolve }, (event) => {
    seen.push(event)
    if (event.action === 'die') died.resolve()
  }, stop.signal)
  await opened.promise
  const id = await started(blueprint('eventful', { command: ['sh', '-c', 'exit 4'] }))
  await died.promise
  stop.abort()
  await assert.rejects(following, { name: 'AbortError' })
  assert.deepEqual(seen.filter((event) => event.id === id).map((event) => event.action), ['create', 'start', 'die'])
  const last = seen.at(-1)
  assert.equal(last?.attributes['exitCode'], '4')
  assert.equal(last?.attributes[label.installation], installation)

  const again: string[] = []
  const all = new AbortController()
  const replay = engine.events({ labels: { [label.run]: run }, types: ['container'], sinceNano }, (event) => {
    if (event.id !== id) return
    again.push(event.action)
    if (event.action === 'die') all.abort()
  }, AbortSignal.any([all.signal, AbortSignal.timeout(10_000)]))
  await assert.rejects(replay, { name: 'AbortError' })
  assert.deepEqual(again, ['create', 'start', 'die'])
})

test('an engine that is not there is EngineUnreachable; an aborted call rejects with its reason', async () => {
  const nowhere = connectEngine({ engine: 'unix:///nonexistent/docker.sock' })
  await assert.rejects(nowhere.version(signal), code('EngineUnreachable'))
  await assert.rejects(nowhere.events({}, () => {}, signal), code('EngineUnreachable'))
  const closed = connectEngine({ engine: 'tcp://127.0.0.1:9' })
  await assert.rejects(closed.version(signal), code('EngineUnreachable'))
  await assert.rejects(engine.version(AbortSignal.abort(new Error('lease lost'))), /lease lost/)
  const { apiVersion } = await engine.version(signal)
  assert.ok(Number(apiVersion.split('.')[1]) >= 41)
})

test('a container lives in another one’s network, with none of its capabilities', async () => {
  const pod = await started(blueprint('pod', { capabilities: ['NET_ADMIN'], mounts: [] }))
  const inside = await started(blueprint('inside', { network: { container: `${installation}-pod` }, mounts: [] }))
  const see = ['sh', '-c', 'readlink /proc/self/ns/net; id -u; grep CapEff /proc/self/status; cat /proc/sys/kernel/hostname; touch /run/own && echo writes']
  const [outer, inner] = [await engine.exec(pod, see, {}, signal), await engine.exec(inside, see, {}, signal)]
  const [outerNet, outerUser, outerCapabilities, outerName, outerWrites] = outer.stdout.split('\n')
  const [innerNet, innerUser, innerCapabilities, innerName] = inner.stdout.split('\n')
  assert.equal(innerNet, outerNet)
  assert.equal(innerName, outerName)
  assert.deepEqual([outerUser, outerCapabilities, outerWrites], ['0', 'CapEff:\t0000000000001000', 'writes'])
  assert.deepEqual([innerUser, innerCapabilities], ['5432', 'CapEff:\t0000000000000000'])
})
