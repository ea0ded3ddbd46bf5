/** The chapters about high availability: a cluster is made, and loses its leader in front of the user. */
import { findEngines } from '../bootstrap/prepare.ts'
import { answerOf } from '../client/problem.ts'
import type { Database } from '../client/schema.ts'
import { underClients, type Seen } from './demoClients.ts'
import { database, seconds, until, type DemoContext, type Say } from './demoContext.ts'
import type { Step } from './steps.ts'

const name = 'shop-ha'
const engineTimeoutMs = 10_000
/** A leader that died answers nobody any more. */
const patienceMs = 2_000

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
  const { writeGapMs, readGapMs, acked } = await loseLeader(context, id, 'killLeader', say)
  return `writes stood still for ${seconds(writeGapMs)}, reads for ${seconds(readGapMs)}; ${acked} acknowledged rows, none lost; the old leader is a replica again`
}

/** The cluster is whole again when it returns. */
export async function loseLeader(context: DemoContext, id: string, event: string, say: Say): Promise<Seen> {
  const seen = await underClients(context, id, { event, writeTo: ['rw'], patienceMs, happen: async () => say(`killing ${await kill(context, id)}`) })
  await replicated(context, id, say)
  return seen
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
