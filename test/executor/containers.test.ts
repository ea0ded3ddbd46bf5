/** Actions on the real engine, with small throw-away containers in place of databases. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Action } from '../../src/domain/action.ts'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { label, resourceNames } from '../../src/domain/names.ts'
import { ensureBaseImage } from '../../src/bootstrap/baseImage.ts'
import { openTestEngine } from '../e2e/testEngine.ts'
import { newInstallation, openRig } from './rig.ts'

const signal = AbortSignal.timeout(700_000)
const image = 'debian:trixie-slim'
const installation = newInstallation()
const { docker } = await openTestEngine(installation)
await ensureBaseImage({ docker, report: () => undefined, signal: AbortSignal.timeout(600_000) })
const rig = await openRig({ installation, images: { postgres: image, haproxy: image }, signal })
const { engine, sample: { desired } } = rig
const names = resourceNames(installation)
const [instance] = desired.instances
const [member] = instance?.members ?? []
assert.ok(instance !== undefined && member !== undefined)
const network = { name: names.network(desired.project.id), subnet: desired.networks[0]?.subnet ?? '' }
const dataVolume = names.dataVolume(member.id)

const apply = (action: Action) => rig.executor.apply(action, desired, signal)
const code = (wanted: string) => (error: unknown): boolean => isHoldfastError(error) && error.code === wanted

/** The member's real blueprint, with something in place of PostgreSQL that shows when it got SIGHUP. */
function standIn(over: Partial<Blueprint> = {}): Blueprint {
  const real = rig.blueprinter.blueprints(desired).members.get(member?.id ?? '')
  assert.ok(real !== undefined)
  const script = 'trap "cat /conf/postgresql.conf > /tmp/reloaded" HUP; trap "exit 0" INT TERM; test -s /conf/tls/server.key || exit 9; while :; do sleep 0.1; done'
  return { ...real, command: ['sh', '-c', script], ...over }
}

async function named(name: string) {
  return engine.inspectContainer(name, signal)
}

before(async () => {
  const create = { kind: 'createNetwork', hostId: member.hostId, name: network.name, subnet: network.subnet, projectId: desired.project.id } as const
  await apply(create)
  await apply(create)
})
after(() => rig.sweep())

test('a container is never made without its data volume, and no volume appears in its place', async () => {
  await assert.rejects(apply({ kind: 'createContainer', blueprint: standIn() }), code('DataMissing'))
  assert.equal(await engine.findVolume(dataVolume, signal), null)
  assert.equal(await engine.findContainer(names.member(member.id), signal), null)
})

test('a data volume is made once and says whose it is', async () => {
  const create = {
    kind: 'createDataVolume', hostId: member.hostId, memberId: member.id, instanceId: instance.id, databaseId: desired.database.id, name: dataVolume, bytes: 400,
  } as const
  assert.deepEqual(await apply(create), { records: [{ kind: 'volumeSized', memberId: member.id, bytes: 400 }] })
  await apply(create)
  const found = await engine.findVolume(dataVolume, signal)
  assert.equal(found?.labels[label.database], desired.database.id)
  assert.equal(found?.labels[label.member], member.id)
  assert.equal(found?.labels[label.kind], 'volume')
})

test('a container is created with its files and runs; making it again changes nothing', async () => {
  const blueprint = standIn()
  const began = performance.now()
  await apply({ kind: 'createContainer', blueprint })
  const ms = performance.now() - began
  const first = await named(blueprint.name)
  assert.equal(first.state, 'running')
  assert.equal(first.labels[label.spec], blueprint.specHash)
  await apply({ kind: 'createContainer', blueprint })
  const second = await named(blueprint.name)
  assert.deepEqual([second.id, second.startedAt], [first.id, first.startedAt])
  const conf = await engine.findVolume(names.memberConfVolume(member.id), signal)
  assert.equal(conf?.labels[label.database], desired.database.id)
  assert.equal(conf?.labels[label.spec], undefined)
  console.error(`createContainer took ${Math.round(ms)} ms`)
})

test('new files are installed into the running container, which is told by SIGHUP', async () => {
  const blueprint = standIn()
  const { id } = await named(blueprint.name)
  const files = blueprint.files.map((file) => (file.path === '/conf/postgresql.conf' ? { ...file, content: 'changed = 1\n' } : file))
  await apply({ kind: 'installFiles', blueprint: { ...blueprint, files }, containerId: id })
  const seen = await engine.exec(id, ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do test -s /tmp/reloaded && break; sleep 0.1; done; cat /tmp/reloaded'], {}, signal)
  assert.equal(seen.stdout, 'changed = 1\n')
})

test('a running container of another specification is left to the planner', async () => {
  const before = await named(names.member(member.id))
  await apply({ kind: 'createContainer', blueprint: standIn({ specHash: 'other' }) })
  assert.equal((await named(names.member(member.id))).id, before.id)
})

test('a running member is not removed; stopped, it is, and its named volumes stay', async () => {
  const { id, name } = await named(names.member(member.id))
  const target = { hostId: member.hostId, containerId: id, name }
  await assert.rejects(apply({ kind: 'removeContainer', ...target }), code('Conflict'))
  await apply({ kind: 'stopContainer', ...target, timeoutSeconds: 5 })
  await apply({ kind: 'stopContainer', ...target, timeoutSeconds: 5 })
  assert.deepEqual([(await named(name)).state, (await named(name)).exitCode], ['exited', 0])
  await apply({ kind: 'startContainer', ...target })
  await apply({ kind: 'stopContainer', ...target, timeoutSeconds: 5 })
  await apply({ kind: 'removeContainer', ...target })
  await apply({ kind: 'removeContainer', ...target })
  assert.notEqual(await engine.findVolume(dataVolume, signal), null)
})

test('a container whose maker died before its files came gets them, and only then runs', async () => {
  const blueprint = standIn()
  await engine.createContainer(blueprint, signal)
  const half = await named(blueprint.name)
  assert.equal(half.state, 'created')
  await apply({ kind: 'createContainer', blueprint })
  const whole = await named(blueprint.name)
  assert.deepEqual([whole.id, whole.state], [half.id, 'running'])
  const files = await engine.exec(whole.id, ['cat', '/conf/instance'], {}, signal)
  assert.equal(files.stdout, `${instance.id}\n`)
  await engine.removeContainer(whole.id, { force: true }, signal)
})

test('one that was created for other settings is made anew, but not by a late controller', async () => {
  const old = standIn()
  await engine.createContainer({ ...old, labels: { ...old.labels, [label.spec]: 'old', [label.generation]: '3' } }, signal)
  const half = await named(old.name)
  await assert.rejects(apply({ kind: 'createContainer', blueprint: old }), code('LeaseLost'))
  assert.equal((await named(old.name)).id, half.id)
  const newer = { ...old, labels: { ...old.labels, [label.generation]: '4' } }
  await apply({ kind: 'createContainer', blueprint: newer })
  const whole = await named(old.name)
  assert.notEqual(whole.id, half.id)
  assert.equal(whole.state, 'running')
  await engine.removeContainer(whole.id, { force: true }, signal)
})

test('a container of somebody else under our name is left alone', async () => {
  const blueprint = standIn()
  await engine.createContainer({ ...blueprint, labels: { [label.installation]: 'other' } }, signal)
  const theirs = await named(blueprint.name)
  await assert.rejects(apply({ kind: 'createContainer', blueprint }), code('ResourceConflict'))
  await assert.rejects(apply({ kind: 'removeContainer', hostId: member.hostId, containerId: theirs.id, name: theirs.name }), code('ResourceConflict'))
  assert.equal((await named(blueprint.name)).id, theirs.id)
  await engine.removeContainer(theirs.id, { force: true }, signal)
})

test('an image that is not there is named', async () => {
  await assert.rejects(apply({ kind: 'createContainer', blueprint: standIn({ image: 'holdfast/none:1', name: `${installation}-none` }) }), (error) =>
    isHoldfastError(error) && error.message.includes('holdfast/none:1') && error.next !== undefined)
})

test('a port that is taken is said, and the container starts once it is free', async () => {
  const blueprint = standIn()
  const thief = { ...blueprint, name: `${installation}-thief`, labels: { [label.installation]: installation }, mounts: [], files: [], command: ['sleep', '60'] }
  const { id } = await engine.createContainer(thief, signal)
  await engine.startContainer(id, signal)
  await assert.rejects(apply({ kind: 'createContainer', blueprint }), code('ResourceConflict'))
  await assert.rejects(apply({ kind: 'createContainer', blueprint }), code('ResourceConflict'))
  await engine.removeContainer(id, { force: true }, signal)
  await apply({ kind: 'createContainer', blueprint })
  const { id: ours, state } = await named(blueprint.name)
  assert.equal(state, 'running')
  await engine.removeContainer(ours, { force: true }, signal)
})

test('a job runs once under its name: starting it again after its end does nothing', async () => {
  const order = { job: 'backup', jobId: 'abc-backup-1', instanceId: instance.id, kind: 'full' } as const
  // The plain image has no `job` command: the engine itself refuses to start it, which is an end like any other.
  await assert.rejects(apply({ kind: 'startJob', order }))
  const seen = await named(names.job(order.jobId))
  assert.equal(seen.labels[label.job], order.jobId)
  assert.equal(seen.labels[label.kind], 'job')
  await apply({ kind: 'removeContainer', hostId: member.hostId, containerId: seen.id, name: seen.name })

  const blueprint = { ...standIn(), name: names.job('once'), restart: 'no', command: ['sh', '-c', 'echo ran; exit 3'], ports: [] } as const
  await apply({ kind: 'createContainer', blueprint })
  assert.equal(await engine.waitExit(blueprint.name, 10_000, signal), 3)
  const { startedAt } = await named(blueprint.name)
  await apply({ kind: 'createContainer', blueprint })
  assert.deepEqual((await named(blueprint.name)).startedAt, startedAt)
  assert.equal(await engine.logs(blueprint.name, { tail: 5 }, signal), 'ran\n')
})

test('volumes and the network go when nothing uses them, once and again', async () => {
  await rig.engine.removeContainer(names.job('once'), { force: true }, signal)
  const seen = await engine.listVolumes({ [label.database]: desired.database.id }, signal)
  assert.ok(seen.length >= 4)
  for (const { name } of [...seen, ...seen]) await apply({ kind: 'removeVolume', hostId: member.hostId, name, memberId: name === dataVolume ? member.id : null })
  assert.deepEqual(await engine.listVolumes({ [label.database]: desired.database.id }, signal), [])
  await apply({ kind: 'removeNetwork', hostId: member.hostId, name: network.name })
  await apply({ kind: 'removeNetwork', hostId: member.hostId, name: network.name })
  assert.equal(await engine.findNetwork(network.name, signal), null)
})
