/** The chapters in which one server becomes a cluster under its clients, goes back, and becomes one again. */
import { answerOf } from '../client/problem.ts'
import type { Database } from '../client/schema.ts'
import { underClients, type Seen } from './demoClients.ts'
import { database, seconds, until, type DemoContext, type Say } from './demoContext.ts'
import { loseLeader } from './demoHa.ts'
import type { Step } from './steps.ts'

/** What clients really waited is shown; a machine that is busy must not make the move go back. */
const budgetMs = 15_000
/** Longer than clients can be held: whoever gives up before would see an error where there is only a wait. */
const patienceMs = 25_000

export const upgradeSteps: readonly Step<DemoContext>[] = [
  { id: 'upgrade', title: 'Make a cluster of the first database under its clients, and kill its leader', run: upgrade },
  { id: 'rollback', title: 'Go back to its former server', run: rollback },
  { id: 'upgradeAgain', title: 'Make it a cluster again', run: upgradeAgain },
]

async function upgrade(context: DemoContext, say: Say): Promise<string> {
  const id = firstOf(context)
  await toStandard(context, id, say)
  const moved = await move(context, id, 'upgradeToHa', 'upgrade', say)
  await formerFollows(context, id, say)
  const { writeGapMs } = await loseLeader(context, id, 'killLeaderAfterUpgrade', say)
  return `${told(moved)}; when its leader was killed, writes stood still for ${seconds(writeGapMs)}, nothing lost`
}

async function rollback(context: DemoContext, say: Say): Promise<string> {
  const id = firstOf(context)
  await formerFollows(context, id, say)
  return told(await move(context, id, 'rollback', 'rollback', say))
}

async function upgradeAgain(context: DemoContext, say: Say): Promise<string> {
  return told(await move(context, firstOf(context), 'upgradeToHa', 'upgradeAgain', say))
}

function firstOf({ databases }: DemoContext): string {
  const [id] = databases.keys()
  if (id === undefined) throw new Error('there is no database to upgrade')
  return id
}

/** The smallest tier that has clusters. The upgrade wants a server that is as it was asked for. */
async function toStandard(context: DemoContext, id: string, say: Say): Promise<void> {
  await answerOf(context.client.PATCH('/v1/databases/{id}', { params: { path: { id } }, body: { tier: 'standard' } }))
  say('the server is replaced by one of the tier standard, and its clients wait for that')
  await looked(context, id, 'the tier to be changed', ({ generation, observedGeneration, status }) =>
    generation === observedGeneration && ['Ready', 'BackupsHealthy'].every((wanted) => status.conditions.some((one) => one.type === wanted && one.status === 'true')))
}

/** After an upgrade, and after the loss of a leader: the way back needs it. */
async function formerFollows(context: DemoContext, id: string, say: Say): Promise<void> {
  say('waiting for the former server to follow the cluster')
  await looked(context, id, 'the former server to follow the cluster', ({ status }) => status.rollback?.ready === true)
}

async function move(context: DemoContext, id: string, kind: 'upgradeToHa' | 'rollback', event: string, say: Say): Promise<Seen> {
  const seen = await underClients(context, id, { event, writeTo: ['rw', 'pooled'], patienceMs, happen: () => perform(context, id, kind, say) })
  context.databases.set(id, await database(context.client, id))
  return seen
}

async function perform({ client }: DemoContext, id: string, kind: 'upgradeToHa' | 'rollback', say: Say): Promise<void> {
  const begun = await answerOf(client.POST('/v1/databases/{id}/operations', { params: { path: { id } }, body: { kind, budgetMs } }))
  await until(`the ${kind} to end`, async () => {
    const { phase, waitingFor, outcome, failure } = await answerOf(client.GET('/v1/operations/{id}', { params: { path: { id: begun.id } } }))
    say(`${phase}${waitingFor === null ? '' : `: ${waitingFor}`}`)
    if (outcome !== null && outcome !== 'succeeded') throw new Error(`the operation ${kind} has ${outcome}: ${failure?.message ?? 'no reason was given'}`)
    return outcome
  })
}

async function looked(context: DemoContext, id: string, what: string, isSo: (now: Database) => boolean): Promise<void> {
  const seen = await until(what, async () => {
    const now = await database(context.client, id)
    return isSo(now) ? now : null
  })
  context.databases.set(id, seen)
}

function told({ writeGapMs, readGapMs, pooledErrors }: Seen): string {
  const pooled = pooledErrors.length === 0 ? 'those of the pool without an error' : `those of the pool met ${pooledErrors.join('; ')}`
  return `clients waited ${seconds(writeGapMs)}, ${pooled}, readers ${seconds(readGapMs)}, nothing lost`
}
