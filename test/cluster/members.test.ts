/** What members of a cluster do by themselves when something of them dies, with nobody but Patroni to look after them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test, type TestContext } from 'node:test'
import { connect } from 'node:tls'
import { z } from 'zod'
import { certificateKey, type Member } from '../../src/domain/desired.ts'
import { commonName, internalName, resourceNames } from '../../src/domain/names.ts'
import { privateAddress } from '../executor/rig.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { openClusterRig } from './rig.ts'

const signal = AbortSignal.timeout(900_000)
const rig = await openClusterRig()
const { engine, instance } = rig
const names = resourceNames(rig.host.installation)
const rowsSchema = z.object({ rows: z.coerce.number() })

let madeInMs = 0

before(async () => {
  await rig.ground()
  const began = performance.now()
  await Promise.all(instance.members.map((member) => rig.start(member)))
  await rig.whole()
  madeInMs = Math.round(performance.now() - began)
})
after(() => rig.sweep())

async function measured<T>(t: TestContext, what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const done = await work()
  t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms`)
  return done
}

async function leading(): Promise<Member> {
  return until('a leader', async () => (await rig.leader()) ?? new NotYet('nobody leads'), { everyMs: 20 })
}

async function replica(): Promise<Member> {
  const leader = await leading()
  const other = instance.members.find(({ id }) => id !== leader.id)
  assert.ok(other !== undefined)
  return other
}

async function execute(member: Member, text: string): Promise<void> {
  const connection = await rig.connect(member)
  try {
    await connection.execute(text)
  } finally {
    connection.close()
  }
}

const containerOf = (member: Member) => engine.inspectContainer(names.member(member.id), signal)
const rowsOn = async (member: Member): Promise<number> => (await rig.query(member, 'select count(*) as rows from public.kept', rowsSchema))[0]?.rows ?? -1
const logOf = async (member: Member): Promise<string> => engine.logs(names.member(member.id), { tail: 2_000, stderr: true }, signal)

async function kill(member: Member): Promise<void> {
  const { id } = await containerOf(member)
  await engine.killContainer(id, 'SIGKILL', signal)
  await engine.waitExit(id, 20_000, signal)
}

/** The brackets keep the command from finding itself. */
const signalReceiver = (name: string): string => `for p in /proc/[0-9]*; do grep -qs '^postgres: .*[w]alreceiver' $p/cmdline && kill -${name} ${'$'}{p#/proc/}; done; true`

async function startAgain(member: Member): Promise<void> {
  await engine.startContainer((await containerOf(member)).id, signal)
}

async function processOf(member: Member, what: 'patroni' | 'postmaster'): Promise<number> {
  const command = what === 'patroni' ? ['s6-svstat', '-o', 'pid', '/run/service/patroni'] : ['head', '-n', '1', '/data/pg/postmaster.pid']
  return Number((await rig.exec(member, command)).stdout.trim())
}

test('the first member makes the database, the others copy it, and commits wait for both', async (t) => {
  t.diagnostic(`from nothing to two synchronous replicas: ${madeInMs} ms`)
  const leader = await leading()
  assert.equal(leader.ordinal, 1)
  await execute(leader, 'create table public.kept (id int); insert into public.kept values (1)')
  for (const member of instance.members) assert.equal(await until('the row', async () => {
    const rows = await rowsOn(member).catch(() => 0)
    return rows === 1 ? rows : new NotYet(`${rows}`)
  }), 1)
  const slots = await rig.query(leader, "select slot_name as name from pg_replication_slots where slot_name = 'holdfast_wal'", z.object({ name: z.string() }))
  assert.equal(slots.length, 1)
})

test('Patroni that dies is started again and takes over the Postgres that went on', async (t) => {
  const leader = await leading()
  const [patroni, postmaster] = [await processOf(leader, 'patroni'), await processOf(leader, 'postmaster')]
  await rig.exec(leader, ['sh', '-c', `kill -KILL ${patroni}`])
  await measured(t, 'until its REST API answers as the leader’s', () => until('Patroni', async () => {
    const report = await rig.patroni(leader).report(signal).catch((error: unknown) => new NotYet(String(error)))
    return report instanceof NotYet || report.role === 'leader' ? report : new NotYet(report.role)
  }, { everyMs: 50 }))
  assert.notEqual(await processOf(leader, 'patroni'), patroni)
  assert.equal(await processOf(leader, 'postmaster'), postmaster)
  assert.equal((await leading()).id, leader.id)
})

test('a leader whose postmaster died hands over at once', async (t) => {
  const leader = await leading()
  await rig.exec(leader, ['sh', '-c', `kill -KILL ${await processOf(leader, 'postmaster')}`])
  const next = await measured(t, 'until another member takes writes', () => rig.newLeader(leader))
  assert.equal(await rowsOn(next), 1)
  await measured(t, 'until it is whole again', () => rig.whole())
})

test('a former leader with writes of its own is wound back by its certificate', async (t) => {
  const leader = await leading()
  const others = instance.members.filter(({ id }) => id !== leader.id)
  await execute(leader, 'create table public.bulk (filler text)')
  // held back, so that the leader is ahead of whoever comes after it
  for (const member of others) await rig.exec(member, ['sh', '-c', signalReceiver('STOP')])
  // more than what connections hold on their way, in one transaction
  await execute(leader, `set synchronous_commit = local; insert into public.kept select 100 from generate_series(1, 1000);
    insert into public.bulk select repeat('x', 1500) from generate_series(1, 20000)`)
  await kill(leader)
  for (const member of others) await rig.exec(member, ['sh', '-c', signalReceiver('CONT')])
  const next = await measured(t, 'from the key’s removal to the next leader', async () => {
    await rig.release(leader)
    return rig.newLeader(leader)
  })
  await execute(next, 'insert into public.kept values (2)')
  await startAgain(leader)
  await measured(t, 'until the former leader is a synchronous replica', () => rig.whole())
  assert.match(await logOf(leader), /running pg_rewind/)
  assert.equal(await rowsOn(leader), 2)
})

test('a leader that leaves on purpose has nothing to recover, and nothing to wind back', async (t) => {
  const leader = await leading()
  const { startedAt } = await containerOf(leader)
  const began = performance.now()
  const left = await rig.exec(leader, ['/usr/libexec/holdfast/leave', '20'])
  assert.equal(left.exitCode, 0, left.stdout + left.stderr)
  const told = z.object({ lsn: z.string() }).parse(JSON.parse(left.stdout))
  t.diagnostic(`leave: ${JSON.stringify(told)}, with the engine ${Math.round(performance.now() - began)} ms`)
  await kill(leader)
  const next = await measured(t, 'from the key’s removal to the next leader', async () => {
    await rig.release(leader)
    return rig.newLeader(leader)
  })
  await execute(next, 'insert into public.kept values (3)')
  await startAgain(leader)
  await measured(t, 'until the former leader is a synchronous replica', () => rig.whole())
  const log = (await logOf(leader)).split('\n')
  assert.ok(startedAt !== null)
  assert.ok(!log.slice(log.findLastIndex((line) => line.includes('Selected new etcd server'))).some((line) => /pg_rewind|automatic recovery in progress/.test(line)))
})

test('who may not leave goes on', async () => {
  const member = await replica()
  const left = await rig.exec(member, ['/usr/libexec/holdfast/leave', '0'])
  assert.notEqual(left.exitCode, 0)
  await until('its Patroni to work', async () => {
    const report = await rig.patroni(member).report(signal).catch((error: unknown) => new NotYet(String(error)))
    return report instanceof NotYet || report.state === 'running' || report.state === 'streaming' ? report : new NotYet(report.state)
  })
})

test('an orderly stop of the leader’s container hands over and ends clean', async (t) => {
  const leader = await leading()
  const { id } = await containerOf(leader)
  await measured(t, 'until another member takes writes', () => Promise.all([engine.stopContainer(id, 60, signal), rig.newLeader(leader)]))
  assert.equal((await engine.inspectContainer(id, signal)).exitCode, 0)
  await startAgain(leader)
  await rig.whole()
})

test('a member whose volume is empty copies the data again', async (t) => {
  const member = await replica()
  await kill(member)
  await engine.removeContainer(names.member(member.id), { force: false }, signal)
  await engine.removeVolume(names.dataVolume(member.id), signal)
  await measured(t, 'until it is a synchronous replica', async () => {
    await rig.start(member)
    await rig.whole()
  })
  assert.equal(await rowsOn(member), await rowsOn(await leading()))
})

test('a copy that was cut short is thrown away and made again', async () => {
  const member = await replica()
  await rig.exec(member, ['sh', '-c', ': >/data/FILLING'])
  await kill(member)
  await startAgain(member)
  await rig.whole()
  assert.match(await logOf(member), /"code":"CopyCutShort"/)
  assert.equal(await rowsOn(member), await rowsOn(await leading()))
})

/** Serial number of the certificate that is shown at a port; PostgreSQL speaks TLS from the first byte to who names its protocol. */
async function serialAt(port: number): Promise<string> {
  const { controller, desired } = rig.sample
  const socket = connect({
    host: privateAddress, port, ALPNProtocols: ['postgresql'], ca: desired.trustBundlePem, cert: controller.certificatePem, key: controller.keyPem.reveal(),
    checkServerIdentity: () => undefined, timeout: 2_000,
  })
  socket.once('timeout', () => socket.destroy(new Error('no answer')))
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().serialNumber
  } finally {
    socket.destroy()
  }
}

test('what cannot be written whole leaves the configuration that is there', async () => {
  const [member] = instance.members
  assert.ok(member !== undefined)
  const { exitCode, stdout, stderr } = await rig.exec(member, ['python3', '-I', '-c', writeTooMuch])
  assert.equal(exitCode, 0, stderr)
  assert.deepEqual(stdout.trim().split('\n'), ['File too large', 'the former', "['small.conf']", '# Do not edit this file manually!'])
})

test('a renewed certificate arrives by a signal, and no port is closed for it', async () => {
  const leader = await leading()
  const { postgres, patroni } = leader.ports
  assert.ok(patroni !== null)
  const before = await Promise.all([serialAt(postgres), serialAt(patroni)])
  const key = certificateKey('member', leader.id)
  const pair = await rig.sample.issue(commonName.member(instance.id), ['orders', internalName.member(leader.id), privateAddress], 'both')
  const renewed = { ...rig.sample.desired, certificates: new Map([...rig.sample.desired.certificates, [key, pair]]) }
  const blueprint = rig.blueprints(renewed).members.get(leader.id) ?? assert.fail('no blueprint')
  const container = await containerOf(leader)
  await engine.putFiles(container.id, blueprint.mounts, blueprint.files, signal)
  await engine.killContainer(container.id, 'SIGHUP', signal)
  await until('both new certificates', async () => {
    const now = await Promise.all([serialAt(postgres), serialAt(patroni)])
    return now.every((serial, index) => serial !== before[index]) ? true : new NotYet(now.join())
  })
  const [row] = await rig.query(leader, "select current_setting('holdfast.config_hash') as hash", z.object({ hash: z.string() }))
  assert.equal(row?.hash, blueprint.configHash)
  assert.equal((await leading()).id, leader.id)
})

test('a member that is fenced off from an address hears nothing of it, and hears again when that is over', async (t) => {
  const [leader, member] = [await leading(), await replica()]
  const fence = async (...argv: readonly string[]): Promise<unknown> => {
    const { exitCode, stdout, stderr } = await engine.exec(names.pod(member.id), ['/usr/libexec/holdfast/fence', ...argv], {}, signal)
    assert.equal(exitCode, 0, stderr)
    return JSON.parse(stdout)
  }
  const blocked = z.object({ cut: z.int().min(1), left: z.literal(0), connect: z.literal('No route to host') })
  await measured(t, 'block, with the engine', async () => blocked.parse(await fence('block', privateAddress, '60')))
  const listed = z.object({ blocked: z.array(z.object({ address: z.string(), seconds: z.int() })) })
  assert.deepEqual(listed.parse(await fence('list')).blocked.map(({ address }) => address), [privateAddress])
  await until('the leader to lose it', async () => {
    const [row] = await rig.query(leader, 'select count(*) as rows from pg_stat_replication', rowsSchema)
    return row?.rows === 1 ? true : new NotYet(`${row?.rows}`)
  })
  await fence('undo', 'all')
  await rig.whole()
  await fence('block', privateAddress, '2')
  await until('the block to end by itself', async () => {
    const { blocked: left } = listed.parse(await fence('list'))
    return left.length === 0 ? true : new NotYet(JSON.stringify(left))
  })
  await rig.whole()
})

test('a fenced member ends, and says why', async () => {
  const member = await replica()
  await rig.exec(member, ['sh', '-c', 'echo stopped >/data/FENCE'])
  await kill(member)
  await startAgain(member)
  await engine.waitExit(names.member(member.id), 30_000, signal)
  assert.match(await logOf(member), /"holdfast":"refused","code":"Fenced"/)
  assert.equal((await containerOf(member)).exitCode, 78)
  await rig.whole(1)
})

test('a cluster whose keys are lost is not begun anew', async () => {
  // the permission to begin goes when the instance was seen initialised
  const seen = { ...rig.sample.desired, instances: [{ ...instance, initialisedAt: new Date(), systemIdentifier: '1' }] }
  const member = await leading()
  const blueprint = rig.blueprints(seen).members.get(member.id) ?? assert.fail('no blueprint')
  await engine.putFiles(names.member(member.id), blueprint.mounts, blueprint.files, signal)
  // the fenced one has ended already
  await Promise.all(instance.members.map(async ({ id }) => engine.killContainer(names.member(id), 'SIGKILL', signal)))
  await Promise.all(instance.members.map(async ({ id }) => engine.waitExit(names.member(id), 20_000, signal)))
  await rig.etcd.deletePrefix(rig.prefix, signal)
  await startAgain(member)
  await engine.waitExit(names.member(member.id), 30_000, signal)
  assert.match(await logOf(member), /"holdfast":"refused","code":"KeysLost"/)
})

/** A limit on the size of files does what a full disk does. */
const writeTooMuch = `
import os, resource, sys
sys.path.insert(0, '/usr/libexec/holdfast')
from member.files import WholeFile
os.makedirs('/run/holdfast/small')
name = '/run/holdfast/small/small.conf'
open(name, 'w').write('the former')
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    with WholeFile(name) as file:
        file.write_param('hba_file', 'x' * 10000)
except OSError as error:
    print(error.strerror)
print(open(name).read())
print(os.listdir('/run/holdfast/small'))
with WholeFile(name) as file:
    file.write_param('hba_file', 'x')
print(open(name).readline().strip())
`
