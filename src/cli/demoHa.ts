/** The chapters about high availability: a cluster is made, and loses its leader in front of the user. */
import { findEngines } from '../bootstrap/prepare.ts'
import { answerOf } from '../client/problem.ts'
import type { Database } from '../client/schema.ts'
import { connectionTo, database, until, withClient, type DemoContext, type Say } from './demoContext.ts'
import { startWorker, type Worked } from './demoWriter.ts'
import type { Step } from './steps.ts'

const name = 'shop-ha'
const engineTimeoutMs = 10_000
/** Written before the leader dies, and after another one took over. */
const rowsAround = 100

export const haSteps: readonly Step<DemoContext>[] = [
  { id: 'createHa', title: 'Create a highly available database', run: createHa },
  { id: 'killLeader', title: 'Kill its leader while a client writes', run: killLeader },
]

async function createHa(context: DemoContext, say: Say): Promise<string> {
  const { client, teamId, projectId } = context
  if (teamId === null || projectId === null) throw new Error('there is no project to make it in')
  await answerOf(client.PUT('/v1/teams/{id}/ha', { params: { path: { id: teamId } }, body: { enabled: true } }))
  const started = performance.now()
  const made = await answerOf(client.POST('/v1/projects/{id}/databases', {
    params: { path: { id: projectId } }, body: { name, tier: 'standard', topology: 'ha' },
  }))
  context.logins.set(made.id, made.credentials)
  context.databases.set(made.id, made)
  await replicated(context, made.id, say)
  return `one leader and two synchronous replicas after ${seconds(performance.now() - started)}`
}

/** Until both replicas are synchronous, as the database's own condition says. */
async function replicated(context: DemoContext, id: string, say: Say): Promise<Database> {
  const seen = await until('one leader and two synchronous replicas', async () => {
    const now = await database(context.client, id)
    const condition = now.status.conditions.find(({ type }) => type === 'ReplicationHealthy')
    say(condition?.message ?? 'being made')
    return condition?.status === 'true' ? now : null
  }, 100)
  context.databases.set(id, seen)
  return seen
}

async function killLeader(context: DemoContext, say: Say): Promise<string> {
  const id = [...context.databases.values()].find((one) => one.name === name)?.id
  if (id === undefined) throw new Error('there is no highly available database')
  await withClient(context, id, 'rw', (connection) => connection.query('create table written (id bigint primary key)'))
  const acked: number[] = []
  const writer = startWorker(connectionTo(context, id, 'rw'), async (connection, attempt) => {
    await connection.query('insert into written values ($1)', [attempt])
    acked.push(attempt)
  })
  const reader = startWorker(connectionTo(context, id, 'ro'), async (connection) => { await connection.query('select 1') })
  let worked: readonly [Worked, Worked]
  try {
    await until('the writer to be on its way', async () => (writer.count() >= rowsAround && reader.count() >= rowsAround ? true : null), 20)
    say(`killing ${await kill(context, id)}`)
    const before = writer.count()
    await until('writes to go on', async () => (writer.count() >= before + rowsAround ? true : null), 20)
  } finally {
    worked = await Promise.all([writer.stop(), reader.stop()])
  }
  const lost = await missing(context, id, acked)
  const [written, read] = worked
  context.gaps.push({ event: 'killLeader', writeGapMs: written.gapMs, readGapMs: read.gapMs, acked: acked.length, lost })
  if (lost > 0) throw new Error(`${lost} acknowledged rows are missing`)
  await replicated(context, id, say)
  return `writes stood still for ${seconds(written.gapMs)}, reads for ${seconds(read.gapMs)}; ${acked.length} acknowledged rows, none lost; the old leader is a replica again`
}

/** By the engine, as a machine's trouble would: no warning, no orderly end. Gives the name of what was killed. */
async function kill({ client, config }: DemoContext, id: string): Promise<string> {
  const { instances } = await database(client, id)
  const leader = instances.flatMap(({ members }) => members).find(({ role }) => role === 'leader')
  if (leader === undefined || leader.containerId === null) throw new Error('no leader is known')
  const signal = AbortSignal.timeout(engineTimeoutMs)
  for (const engine of await findEngines(config, signal)) {
    if ((await engine.findContainer(leader.containerId, signal)) === null) continue
    await engine.killContainer(leader.containerId, 'SIGKILL', signal)
    return leader.name
  }
  throw new Error(`no engine holds the container of ${leader.name}`)
}

async function missing(context: DemoContext, id: string, acked: readonly number[]): Promise<number> {
  const { rows } = await withClient(context, id, 'rw', (connection) =>
    connection.query<{ lost: number }>('select count(*)::int as lost from unnest($1::bigint[]) as acked(id) where not exists (select from written w where w.id = acked.id)', [acked]))
  return rows[0]?.lost ?? acked.length
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}
