/**
 * Only members of the cluster may acknowledge a commit, also while there is no replica and PostgreSQL would let anybody: proved on a
 * leader without replicas, with the backup agent and with what follows a database in case of a rollback, and against the same
 * receivers under a plain '*', which must count there, or the proof would prove nothing.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { z } from 'zod'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import type { Member } from '../../src/domain/desired.ts'
import { resourceNames } from '../../src/domain/names.ts'
import { createContainer } from '../../src/executor/containers.ts'
import { bootstrapSql } from '../../src/render/sql.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { openClusterRig } from './rig.ts'

const signal = AbortSignal.timeout(600_000)
const rig = await openClusterRig()
const { engine, instance } = rig
const names = resourceNames(rig.host.installation)
const [leader, ...replicas] = instance.members
assert.ok(leader !== undefined)
/** Much longer than a commit takes that somebody acknowledges. */
const waitsForMs = 4_000
const senderSchema = z.object({ name: z.string(), flushed: z.boolean(), counts: z.boolean() })

before(async () => {
  await rig.ground()
  await Promise.all(instance.members.map((member) => rig.start(member)))
  await rig.whole()
  await execute(bootstrapSql())
  await execute('create table public.kept (id int)')
  for (const member of replicas) await engine.killContainer(names.member(member.id), 'SIGKILL', signal)
  await until('the leader to wait for anybody', async () => {
    const [row] = await rig.query(leader, "select current_setting('synchronous_standby_names') as names", z.object({ names: z.string() }))
    return row?.names.startsWith('1 (') === true ? true : new NotYet(row?.names ?? '')
  })
})
after(() => rig.sweep())

async function execute(text: string): Promise<void> {
  assert.ok(leader !== undefined)
  const connection = await rig.connect(leader)
  try {
    await connection.execute(text)
  } finally {
    connection.close()
  }
}

/** Whether a commit is acknowledged. One that is not is broken off, which leaves its row, unacknowledged. */
async function isAcknowledged(): Promise<boolean> {
  assert.ok(leader !== undefined)
  const connection = await rig.connect(leader)
  try {
    const limit = AbortSignal.timeout(waitsForMs)
    return await connection.query({ text: 'insert into public.kept values (1) returning id', row: z.object({ id: z.int() }) }, [], limit).then(() => true, () => {
      assert.ok(limit.aborted)
      return false
    })
  } finally {
    connection.close()
  }
}

async function senders(): Promise<readonly z.infer<typeof senderSchema>[]> {
  assert.ok(leader !== undefined)
  return rig.query(leader, `select application_name as name, flush_lsn is not null as flushed, sync_state in ('sync', 'quorum') as counts
    from pg_stat_replication where state = 'streaming' order by 1`, senderSchema)
}

/** A container in which `pg_receivewal` runs as somebody who may. */
async function receiver(name: string, user: string, certificate: { readonly commonName: string }, more: readonly string[]): Promise<() => Promise<void>> {
  assert.ok(leader !== undefined)
  const { member } = memberOf(leader)
  const pair = await rig.sample.issue(certificate.commonName, [], 'client')
  const conninfo = `host=172.17.0.1 port=${leader.ports.postgres} user=${user} application_name=${name} sslmode=verify-full sslrootcert=/conf/ca.crt sslcert=/conf/c.crt sslkey=/conf/c.key`
  const blueprint: Blueprint = {
    ...member,
    name: `${rig.host.installation}-${name}`,
    command: ['idle'],
    network: { name: names.network(rig.sample.desired.project.id), aliases: [] },
    mounts: [{ volume: `${rig.host.installation}-${name}-conf`, path: '/conf' }, { volume: `${rig.host.installation}-${name}-wal`, path: '/wal' }],
    files: [['ca.crt', rig.sample.desired.trustBundlePem], ['c.crt', pair.certificatePem], ['c.key', pair.keyPem.reveal()]].map(([file, content]) =>
      ({ path: `/conf/${file ?? ''}`, content: content ?? '', mode: 0o600, secret: true })),
  }
  await createContainer(engine, blueprint, signal)
  const running = engine.exec(blueprint.name, ['pg_receivewal', '--directory=/wal', '--no-loop', `--dbname=${conninfo}`, ...more], { timeoutMs: 300_000 }, signal)
  running.catch(() => undefined)
  await until(`${name} to stream`, async () => {
    const seen = await senders()
    return seen.some((one) => one.name === name) ? true : new NotYet(JSON.stringify(seen))
  })
  return async () => {
    await engine.removeContainer(blueprint.name, { force: true }, signal)
    await running.catch(() => undefined)
  }
}

function memberOf({ id }: Member): { readonly member: Blueprint } {
  const member = rig.blueprints().members.get(id)
  assert.ok(member !== undefined)
  return { member }
}

const agentName = { commonName: `agent.${instance.id}` }
const memberName = { commonName: `member.${instance.id}` }

test('without a replica no commit is acknowledged', async () => {
  assert.equal(await isAcknowledged(), false)
})

test('the backup agent, which streams without a slot, tells no flush and acknowledges nothing', async () => {
  const stop = await receiver('holdfast_wal', 'holdfast_wal', agentName, ['--status-interval=1'])
  assert.equal(await isAcknowledged(), false)
  assert.deepEqual(await senders(), [{ name: 'holdfast_wal', flushed: false, counts: false }])
  await stop()
})

test('a follower that confirms every flush, as the target of a rollback does, acknowledges nothing', async () => {
  const stop = await receiver('follower', 'holdfast_replicator', memberName, ['--synchronous'])
  assert.equal(await isAcknowledged(), false)
  assert.deepEqual(await senders(), [{ name: 'follower', flushed: true, counts: false }])
  await stop()
})

test('under a plain star the same follower would, and the agent would not', async (t) => {
  await execute("alter system set synchronous_standby_names = '*'")
  await execute('select pg_reload_conf()')
  t.after(async () => {
    await execute('alter system reset synchronous_standby_names')
    await execute('select pg_reload_conf()')
  })
  const stopAgent = await receiver('holdfast_wal', 'holdfast_wal', agentName, ['--status-interval=1'])
  assert.equal(await isAcknowledged(), false)
  await stopAgent()
  const stop = await receiver('follower', 'holdfast_replicator', memberName, ['--synchronous'])
  assert.equal(await isAcknowledged(), true)
  await stop()
})

test('a member that comes back acknowledges again', async () => {
  const [replica] = replicas
  assert.ok(replica !== undefined)
  await engine.startContainer(names.member(replica.id), signal)
  await rig.whole(1)
  assert.equal(await isAcknowledged(), true)
})
