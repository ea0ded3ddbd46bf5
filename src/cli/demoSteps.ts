/** The story that the demo tells, one step a chapter, over the public API and plain PostgreSQL connections. */
import type pg from 'pg'
import type { HoldfastClient } from '../client/client.ts'
import { answerOf } from '../client/problem.ts'
import type { Backup, Database } from '../client/schema.ts'
import { database, until, withClient, type DemoContext, type Say } from './demoContext.ts'
import { haSteps } from './demoHa.ts'
import { upgradeSteps } from './demoUpgrade.ts'
import type { Step } from './steps.ts'

const names = { team: 'demo', project: 'demo', database: 'shop', restored: 'shop-restored' } as const
const rows = 10_000

export const demoSteps: readonly Step<DemoContext>[] = [
  { id: 'create', title: 'Create a starter database', run: create },
  { id: 'write', title: 'Write through its endpoint', run: write },
  { id: 'backup', title: 'Take a snapshot', run: backUp },
  { id: 'restore', title: 'Restore it as a new database', run: restore },
  { id: 'compare', title: 'Compare the two', run: compare },
  ...haSteps,
  ...upgradeSteps,
]

async function create(context: DemoContext, say: Say): Promise<string> {
  const { client } = context
  const { teamId, projectId } = await ensureProject(client)
  context.teamId = teamId
  context.projectId = projectId
  await replaceOld(client, projectId, say)
  const started = performance.now()
  const made = await answerOf(client.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body: { name: names.database, tier: 'starter' } }))
  context.logins.set(made.id, made.credentials)
  context.databases.set(made.id, made)
  await firstQuery(context, made, say)
  const ms = Math.round(performance.now() - started)
  context.databases.set(made.id, await database(client, made.id))
  return `first query through the endpoint after ${(ms / 1000).toFixed(1)} s`
}

async function ensureProject(client: HoldfastClient): Promise<{ readonly teamId: string; readonly projectId: string }> {
  const { items: teams } = await answerOf(client.GET('/v1/teams'))
  const team = teams.find((one) => one.name === names.team) ?? await answerOf(client.POST('/v1/teams', { body: { name: names.team } }))
  const path = { id: team.id }
  const { items: projects } = await answerOf(client.GET('/v1/teams/{id}/projects', { params: { path } }))
  const project = projects.find((one) => one.name === names.project)
  const made = project ?? await answerOf(client.POST('/v1/teams/{id}/projects', { params: { path }, body: { name: names.project } }))
  return { teamId: team.id, projectId: made.id }
}

/** What an earlier run made goes, with its backups: it is a demo's. */
async function replaceOld(client: HoldfastClient, projectId: string, say: Say): Promise<void> {
  const list = async (): Promise<readonly Database[]> =>
    (await answerOf(client.GET('/v1/projects/{id}/databases', { params: { path: { id: projectId } } }))).items
  for (const old of await list()) {
    if (old.deletion !== null) continue
    await answerOf(client.DELETE('/v1/databases/{id}', {
      params: { path: { id: old.id } }, body: { confirmName: old.name, finalBackup: false, keepBackupsDays: 0 },
    }))
  }
  await until('the databases of an earlier run to be gone', async () => {
    const left = await list()
    say(left.map((one) => one.name).join(', '))
    return left.length === 0 ? true : null
  })
}

/** Connects until it succeeds: a customer's own client would do the same. */
async function firstQuery(context: DemoContext, made: Database, say: Say): Promise<void> {
  await until('the first connection through the endpoint', async () => {
    try {
      await withClient(context, made.id, 'rw', (connection) => connection.query('select 1'))
      return true
    } catch (error) {
      say(error instanceof Error ? error.message : String(error))
      return null
    }
  }, 25)
}

async function write(context: DemoContext): Promise<string> {
  const [id] = context.databases.keys()
  if (id === undefined) throw new Error('there is no database to write to')
  context.checksum = await withClient(context, id, 'rw', async (connection) => {
    await connection.query('create table orders (id bigint generated always as identity primary key, item text not null, placed_at timestamptz not null default now())')
    await connection.query('insert into orders (item) select md5(i::text) from generate_series(1, $1) as i', [rows])
    return checksum(connection)
  })
  const pooled = await withClient(context, id, 'pooled', (connection) => connection.query('select count(*) from orders'))
  return `${rows} rows, ${pooled.rowCount === 1 ? 'also read through the pooled port' : ''}`
}

async function backUp(context: DemoContext, say: Say): Promise<string> {
  const [id] = context.databases.keys()
  if (id === undefined) throw new Error('there is no database to back up')
  const { client } = context
  const path = { id }
  // the first backup of a new database is under way by itself: it has to end before one that surely holds our rows
  await until('the first backup to end', () => noOpenBackup(client, id, say))
  const taken = await answerOf(client.POST('/v1/databases/{id}/backups', { params: { path }, body: { kind: 'incremental' } }))
  const done = await until('the snapshot to be read back from S3', async () => {
    const backup = await answerOf(client.GET('/v1/backups/{id}', { params: { path: { id: taken.id } } }))
    say(backup.state)
    if (backup.state === 'failed') throw new Error(`the backup failed: ${backup.failure?.message ?? 'no reason was given'}`)
    return backup.state === 'verified' ? backup : null
  })
  return `${done.label ?? ''}: ${done.objectCount ?? 0} objects, ${done.repositoryBytes ?? 0} bytes in S3, encrypted, verified and read back`
}

async function noOpenBackup(client: HoldfastClient, id: string, say: Say): Promise<true | null> {
  const { items: backups } = await answerOf(client.GET('/v1/databases/{id}/backups', { params: { path: { id } } }))
  const open = backups.find((backup: Backup) => ['requested', 'running', 'verifying'].includes(backup.state))
  say(open === undefined ? `${backups.length} backups` : `${open.kind} backup: ${open.state}`)
  return open === undefined && backups.length > 0 ? true : null
}

async function restore(context: DemoContext, say: Say): Promise<string> {
  const [id] = context.databases.keys()
  if (id === undefined) throw new Error('there is no database to restore')
  const { client } = context
  const made = await answerOf(client.POST('/v1/databases/{id}/restore', { params: { path: { id } }, body: { name: names.restored } }))
  const login = context.logins.get(id)
  if (login !== undefined) context.logins.set(made.id, login)
  const ready = await until('the restored database to be ready', async () => {
    const seen = await database(client, made.id)
    const { operation, conditions } = seen.status
    say(`${operation?.phase ?? ''} ${progressText(operation?.progress)}`)
    if (operation?.outcome === 'failed') throw new Error(`the restore failed: ${operation.failure?.message ?? 'no reason was given'}`)
    const isReady = conditions.some((condition) => condition.type === 'Ready' && condition.status === 'true')
    return isReady && operation?.outcome === 'succeeded' ? seen : null
  })
  context.databases.set(ready.id, ready)
  return `${ready.name} takes connections`
}

function progressText(progress: unknown): string {
  return progress === null || progress === undefined ? '' : JSON.stringify(progress)
}

async function compare(context: DemoContext): Promise<string> {
  const [, restored] = context.databases.keys()
  if (restored === undefined) throw new Error('there is no restored database')
  const found = await withClient(context, restored, 'ro', checksum)
  if (found !== context.checksum) throw new Error(`the restored rows differ: ${found} instead of ${context.checksum ?? 'nothing'}`)
  return `${rows} rows, same checksum`
}

async function checksum(connection: pg.Client): Promise<string> {
  const { rows: found } = await connection.query<{ sum: string }>(`select count(*) || ':' || md5(string_agg(id || item, ',' order by id)) as sum from orders`)
  return found[0]?.sum ?? 'nothing'
}
