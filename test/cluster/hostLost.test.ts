/**
 * The procedure for lost hosts, on one engine: every member at an address of its own, the leader's packets vanish, and the engine of
 * its host does not answer. The leader lives, unseen, and a client beside it goes on writing: what that one was promised has to be kept.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { Desired, Member } from '../../src/domain/desired.ts'
import type { FailoverRecord } from '../../src/domain/failover.ts'
import { resourceNames } from '../../src/domain/names.ts'
import { startGuard, type Guard, type GuardEngine } from '../../src/failover/guard.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { openClusterRig } from './rig.ts'

const execute = promisify(execFile)
const signal = AbortSignal.timeout(600_000)
const rig = await openClusterRig({ isApart: true })
const { engine, instance, sample } = rig
const names = resourceNames(rig.host.installation)
const told: FailoverRecord[] = []
const silentHosts = new Set<string>()
/** The client beside the leader goes on for so long, and asks for an answer within so long. */
const writesForSeconds = 15
const answerSeconds = 8
const enough = 5
const countSchema = z.object({ count: z.coerce.number() })
const idSchema = z.object({ id: z.coerce.number() })
const stateSchema = z.object({ State: z.object({ Pid: z.int() }) })

let guard: Guard

before(async () => {
  await rig.ground()
  await Promise.all(instance.members.map((member) => rig.start(member)))
  await rig.whole()
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined }
  guard = startGuard({
    installation: rig.host.installation, controller: 'test', enabled: true, etcd: rig.etcd, log: quiet,
    engineOf: (hostId) => (silentHosts.has(hostId) ? silentEngine : engine),
    events: () => () => undefined,
    identity: () => ({ certificatePem: sample.controller.certificatePem, keyPem: sample.controller.keyPem }),
    recorder: { record: (one) => { told.push(one); return Promise.resolve() } },
  })
  const desired: Desired = { ...sample.desired, endpoint: null }
  guard.update(desired)
})
after(async () => {
  await guard.close()
  await rig.sweep()
})

/** A host that is lost: whoever asks waits until he gives up. */
const silentEngine: GuardEngine = {
  findContainer: (_id, limit) => never(limit),
  killContainer: (_id, _name, limit) => never(limit),
  exec: (_id, _argv, _options, limit) => never(limit),
}

function never(limit: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => limit.addEventListener('abort', () => reject(new Error('no answer')), { once: true }))
}

/** All packets of the member's network vanish, in and out, as behind a dead switch. */
async function vanish(member: Member): Promise<() => Promise<void>> {
  const { State: { Pid: pid } } = stateSchema.parse(JSON.parse((await execute('docker', ['inspect', '--format', '{"State":{{json .State}}}', names.pod(member.id)])).stdout))
  const rules = [['INPUT', '!', '-i', 'lo', '-j', 'DROP'], ['OUTPUT', '!', '-o', 'lo', '-j', 'DROP']]
  const each = async (how: '-I' | '-D'): Promise<void> => {
    for (const rule of rules) await execute('nsenter', ['--target', String(pid), '--net', 'iptables', '--wait', how, ...rule])
  }
  await each('-I')
  return () => each('-D')
}

/** Beside the leader, so that no network is between them. Resolves to what was acknowledged. */
async function writeBeside(member: Member): Promise<readonly number[]> {
  const script = `
    ends=$(($(date +%s) + ${writesForSeconds})); id=0
    while [ "$(date +%s)" -lt "$ends" ]; do
      id=$((id + 1))
      timeout ${answerSeconds} psql -XqU postgres -c "insert into public.beside values ($id)" postgres >/dev/null 2>&1 && echo $id
      sleep 0.05
    done`
  const { stdout } = await engine.exec(names.member(member.id), ['sh', '-c', script], { timeoutMs: (writesForSeconds + answerSeconds + 20) * 1_000 }, signal)
  return stdout.split('\n').filter((line) => line !== '').map(Number)
}

async function blocksAt(member: Member): Promise<unknown> {
  const { stdout } = await engine.exec(names.pod(member.id), ['/usr/libexec/holdfast/fence', 'list'], { user: '0' }, signal)
  return z.object({ blocked: z.array(z.unknown()) }).parse(JSON.parse(stdout)).blocked
}

test('a leader that nobody hears is replaced though it lives, and everything that anybody was promised is kept', async (t) => {
  const former = await until('a leader', async () => (await rig.leader()) ?? new NotYet('nobody leads'))
  const others = instance.members.filter(({ id }) => id !== former.id)
  const connection = await rig.connect(former)
  await connection.execute('create table public.beside (id int primary key)')
  connection.close()
  const beside = writeBeside(former)
  await until('the client beside the leader to write', async () => {
    const [row] = await rig.query(former, 'select count(*) from public.beside', countSchema)
    return (row?.count ?? 0) > enough ? true : new NotYet(String(row?.count))
  })

  const began = performance.now()
  silentHosts.add(former.hostId)
  const mend = await vanish(former)
  const next = await rig.newLeader(former)
  t.diagnostic(`another member takes writes after ${Math.round(performance.now() - began)} ms`)
  await until('the incident to be told', () => Promise.resolve(told.some(({ verdict, outcome }) => verdict === 'hostLost' && outcome?.leaderChanged === true) ? true : new NotYet(JSON.stringify(told.map(({ verdict, outcome, story }) => [verdict, outcome?.reason, story.map(({ text }) => text)])))), { limitMs: 20_000 })
  t.diagnostic(told.findLast(({ verdict }) => verdict === 'hostLost')?.story.map(({ text }) => text).join(' | ') ?? '')
  assert.deepEqual(await Promise.all(others.map(blocksAt)), [[], []], 'the blocks were taken back')

  const acknowledged = await beside
  await mend()
  silentHosts.delete(former.hostId)
  await rig.whole()
  assert.equal((await rig.leader())?.id, next.id, 'the former leader follows')
  assert.deepEqual(told.filter(({ verdict }) => verdict === 'killLeader' || verdict === 'killReplica'), [], 'nobody was killed for having been away')
  const kept = new Set((await rig.query(next, 'select id from public.beside', idSchema)).map(({ id }) => id))
  t.diagnostic(`${acknowledged.length} acknowledged beside the leader, ${kept.size} kept`)
  assert.ok(acknowledged.length >= enough)
  assert.deepEqual(acknowledged.filter((id) => !kept.has(id)), [])
})
