/** Databases as their users have them: made over the API, waited for by what the API says, connected to through their endpoint. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { answerOf } from '../../src/client/problem.ts'
import type { Backup, Database } from '../../src/client/schema.ts'
import type { TestService } from './service.ts'
import { NotYet, until, type Waiting } from './waiting.ts'

export interface Login {
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface Made {
  readonly id: string
  readonly name: string
  readonly login: Login
}

export type Port = 'rw' | 'ro' | 'pooled'

const connectTimeoutMs = 5_000
const queryTimeoutMs = 30_000
/** A first start makes a cluster, an endpoint and certificates, on a machine that does other things meanwhile. */
const readyLimitMs = 90_000
const backupLimitMs = 120_000

/** A team and a project of their own, so that files never meet. */
export async function newProject({ api }: TestService, name: string): Promise<{ readonly teamId: string; readonly projectId: string }> {
  const unique = `${name}-${randomBytes(2).toString('hex')}`
  const team = await answerOf(api.POST('/v1/teams', { body: { name: unique } }))
  const project = await answerOf(api.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name } }))
  return { teamId: team.id, projectId: project.id }
}

/** Asked for, not yet there. */
export async function createDatabase(service: TestService, projectId: string, body: { readonly name: string; readonly tier?: 'starter' | 'standard' | 'pro'; readonly storageBytes?: number }): Promise<Made> {
  const made = await answerOf(service.api.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body: { tier: 'starter', ...body } }))
  const { id, name, credentials } = made
  await service.noteSecret(`password of ${credentials.user}`, credentials.password)
  return { id, name, login: credentials }
}

/** Made, and in use by its first query. */
export async function readyDatabase(service: TestService, projectId: string, body: { readonly name: string; readonly tier?: 'starter' | 'standard' | 'pro'; readonly storageBytes?: number }): Promise<Made> {
  const made = await createDatabase(service, projectId, body)
  await untilCondition(service, made.id, 'Ready', 'true', { limitMs: readyLimitMs })
  return made
}

export function databaseOf({ api }: TestService, id: string): Promise<Database> {
  return answerOf(api.GET('/v1/databases/{id}', { params: { path: { id } } }))
}

/** The database as it is when the predicate first holds. */
export async function untilDatabase(service: TestService, id: string, what: string, holds: (database: Database) => boolean, waiting?: Waiting): Promise<Database> {
  return until(what, async () => {
    const database = await databaseOf(service, id)
    return holds(database) ? database : new NotYet(describe(database))
  }, { everyMs: 200, ...waiting })
}

function describe({ name, generation, observedGeneration, status }: Database): string {
  const conditions = status.conditions.map((one) => `${one.type}=${one.status} (${one.message})`)
  const operation = status.operation === null ? [] : [`operation ${status.operation.kind} ${status.operation.phase} ${status.operation.waitingFor ?? ''} ${status.operation.outcome ?? ''}`]
  return [`${name} ${observedGeneration}/${generation}`, ...conditions, ...operation, `last error: ${status.lastError?.message ?? 'none'}`].join('; ')
}

type Condition = Database['status']['conditions'][number]

export function conditionOf({ status }: Database, type: Condition['type']): Condition | undefined {
  return status.conditions.find((one) => one.type === type)
}

export function untilCondition(service: TestService, id: string, type: Condition['type'], status: Condition['status'], waiting?: Waiting): Promise<Database> {
  return untilDatabase(service, id, `${type} = ${status}`, (database) => conditionOf(database, type)?.status === status, waiting)
}

/** Looks at it now instead of at the next resync. */
export async function reconcile({ api }: TestService, id: string): Promise<void> {
  await answerOf(api.POST('/v1/databases/{id}/reconcile', { params: { path: { id } }, body: { wait: false } }))
}

/** The newest generation is reached and nothing is left to do. */
export function untilSettled(service: TestService, id: string, waiting?: Waiting): Promise<Database> {
  return untilDatabase(service, id, 'it has settled', (database) =>
    database.generation === database.observedGeneration && conditionOf(database, 'Progressing')?.reason === 'Settled', { limitMs: backupLimitMs, ...waiting })
}

export interface SessionOptions {
  readonly port?: Port
  /** Known already; else the API is asked. */
  readonly endpoint?: Database['endpoint']
  /** Of the authority to trust; null: TLS is not even tried. */
  readonly ca?: string | null
  readonly user?: string
  readonly password?: string
  readonly database?: string
}

/** TLS with the certificate and its host name verified. */
export async function connectionOf(service: TestService, made: Made, options: SessionOptions = {}): Promise<pg.ClientConfig> {
  const { port = 'rw', ca = service.ca, endpoint = (await databaseOf(service, made.id)).endpoint, ...login } = options
  if (endpoint === null) throw new Error(`${made.name} has no endpoint`)
  return { host: endpoint.host, port: endpoint.ports[port], ...made.login, ...login, ssl: ca === null ? false : { ca } }
}

/** Connected; the caller ends it. */
export async function session(service: TestService, made: Made, options: SessionOptions = {}): Promise<pg.Client> {
  const client = new pg.Client({ ...await connectionOf(service, made, options), connectionTimeoutMillis: connectTimeoutMs, query_timeout: queryTimeoutMs })
  // a connection that breaks while nobody waits for an answer is told by its next query
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

export async function withSession<T>(service: TestService, made: Made, use: (client: pg.Client) => Promise<T>, options: SessionOptions = {}): Promise<T> {
  const client = await session(service, made, options)
  try {
    return await use(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** The first column of the first row, as text. */
export async function ask(client: pg.Client, text: string, values: readonly unknown[] = []): Promise<string | null> {
  const { rows } = await client.query<unknown[]>({ text, values: [...values], rowMode: 'array' })
  const value = rows[0]?.[0]
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export async function backupsOf({ api }: TestService, id: string): Promise<readonly Backup[]> {
  return (await answerOf(api.GET('/v1/databases/{id}/backups', { params: { path: { id } } }))).items
}

/** The first backup of a database is taken by itself. */
export function untilBackedUp(service: TestService, id: string): Promise<Backup> {
  return until('a backup is verified', async () => {
    const backups = await backupsOf(service, id)
    return backups.find((one) => one.state === 'verified') ?? new NotYet(backups.map((one) => `${one.kind} ${one.state} ${one.failure?.message ?? ''}`).join(', '))
  }, { limitMs: backupLimitMs, everyMs: 250 })
}

/** A backup taken now; one under way is waited for first, since it may have begun before what the caller wrote. */
export async function backUpNow(service: TestService, id: string): Promise<Backup> {
  await until('no backup is under way', async () => {
    const open = (await backupsOf(service, id)).find((one) => ['requested', 'running', 'verifying'].includes(one.state))
    return open === undefined ? true : new NotYet(open.state)
  }, { limitMs: backupLimitMs, everyMs: 250 })
  const asked = await answerOf(service.api.POST('/v1/databases/{id}/backups', { params: { path: { id } }, body: { kind: 'incremental' } }))
  return until('the requested backup is verified', async () => {
    const backup = await answerOf(service.api.GET('/v1/backups/{id}', { params: { path: { id: asked.id } } }))
    if (backup.state === 'failed') throw new Error(`the backup failed: ${backup.failure?.message ?? 'no reason was given'}`)
    return backup.state === 'verified' ? backup : new NotYet(backup.state)
  }, { limitMs: backupLimitMs, everyMs: 250 })
}

/** A new database, ready; it has its source's logins. */
export async function restored(service: TestService, source: Made, body: { readonly name: string; readonly at?: string; readonly backupId?: string; readonly topology?: 'ha' }): Promise<Made> {
  const made = await answerOf(service.api.POST('/v1/databases/{id}/restore', { params: { path: { id: source.id } }, body }))
  await untilDatabase(service, made.id, 'the restore has ended', ({ status: { operation } }) => {
    if (operation?.outcome === 'failed') throw new Error(`the restore failed: ${operation.failure?.message ?? 'no reason was given'}`)
    return operation?.outcome === 'succeeded'
  }, { limitMs: backupLimitMs })
  await untilCondition(service, made.id, 'Ready', 'true', { limitMs: readyLimitMs })
  return { id: made.id, name: made.name, login: source.login }
}

export async function deleteDatabase(service: TestService, { id, name }: Made): Promise<void> {
  await answerOf(service.api.DELETE('/v1/databases/{id}', { params: { path: { id } }, body: { confirmName: name, finalBackup: false, keepBackupsDays: 0 } }))
}
