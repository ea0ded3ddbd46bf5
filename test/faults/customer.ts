/** Databases of a suite as their customers use them: made, written to without a pause, read back, deleted. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { answerOf } from '../../src/client/problem.ts'
import type { Backup, Database } from '../../src/client/schema.ts'
import { NotYet } from '../harness/waiting.ts'
import { eventually, type Rig } from './rig.ts'

export interface Login {
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface Customer {
  readonly id: string
  readonly name: string
  readonly login: Login
  /** For the read-write port of its endpoint. */
  readonly connection: pg.ClientConfig
}

/** The smallest that a disk can be made; small disks are made quickly. */
const smallestBytes = 384 * 1024 * 1024
export const settleLimitMs = 120_000
/** Statements that write many megabytes; those of the writer have to be quick. */
const queryTimeoutMs = 60_000

export async function order(rig: Rig, name: string, { projectId = rig.projectId, storageBytes = smallestBytes } = {}): Promise<Customer> {
  const { service } = rig
  const made = await answerOf(service.api.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body: { name, tier: 'starter', storageBytes } }))
  await service.noteSecret(`password of ${name}`, made.credentials.password)
  return { id: made.id, name, login: made.credentials, connection: connectionTo(rig, made, made.credentials) }
}

export function connectionTo({ service }: Rig, { endpoint, name }: Database, login: Login): pg.ClientConfig {
  if (endpoint === null) throw new Error(`the database ${name} has no endpoint`)
  return { host: endpoint.host, port: endpoint.ports.rw, ...login, ssl: { ca: service.ca }, connectionTimeoutMillis: 3_000, query_timeout: 5_000 }
}

/** Serving, its first backup read back, nothing left to do. */
export async function settled(rig: Rig, id: string, limitMs = settleLimitMs): Promise<Database> {
  return eventually(`the database ${id} to settle`, async () => {
    const database = await look(rig, id)
    const { conditions } = database.status
    const is = (type: string, status: string): boolean => conditions.some((one) => one.type === type && one.status === status)
    const backups = await backupsOf(rig, id)
    const isDone = is('Ready', 'true') && conditions.some(({ type, reason }) => type === 'Progressing' && reason === 'Settled')
    const isBacked = backups.length > 0 && backups.every(({ state }) => state === 'verified')
    return isDone && isBacked ? database : new NotYet(`${told(database)}; backups ${backups.map(({ state }) => state).join()}`)
  }, limitMs)
}

export async function condition(rig: Rig, id: string, type: string, fits: (status: string, reason: string) => boolean, limitMs = settleLimitMs): Promise<string> {
  return eventually(`the condition ${type} of ${id}`, async () => {
    const found = (await look(rig, id)).status.conditions.find((one) => one.type === type)
    return found !== undefined && fits(found.status, found.reason) ? found.message : new NotYet(JSON.stringify(found ?? null))
  }, limitMs)
}

export function look({ service }: Rig, id: string): Promise<Database> {
  return answerOf(service.api.GET('/v1/databases/{id}', { params: { path: { id } } }))
}

export async function backupsOf({ service }: Rig, id: string): Promise<readonly Backup[]> {
  return (await answerOf(service.api.GET('/v1/databases/{id}/backups', { params: { path: { id } } }))).items
}

function told({ status }: Database): string {
  const shown = status.conditions.filter(({ type }) => type === 'Ready' || type === 'Progressing')
  return `${shown.map(({ type, status: is, reason, message }) => `${type} ${is} ${reason}: ${message}`).join('; ')}; ${JSON.stringify(status.lastError)}`
}

export async function backUp(rig: Rig, id: string): Promise<string> {
  return (await answerOf(rig.service.api.POST('/v1/databases/{id}/backups', { params: { path: { id } }, body: { kind: 'incremental' } }))).id
}

export async function verified(rig: Rig, backupId: string, limitMs = settleLimitMs): Promise<Backup> {
  return eventually(`the backup ${backupId} to be read back`, async () => {
    const backup = await answerOf(rig.service.api.GET('/v1/backups/{id}', { params: { path: { id: backupId } } }))
    assert.notEqual(backup.state, 'failed', backup.failure?.message)
    return backup.state === 'verified' ? backup : new NotYet(`${backup.state} ${JSON.stringify(backup.failure)}`)
  }, limitMs)
}

/** A restored database has the logins of its source. */
export async function restore(rig: Rig, source: Customer, name: string, at?: Date): Promise<Customer> {
  const made = await answerOf(rig.service.api.POST('/v1/databases/{id}/restore', {
    params: { path: { id: source.id } }, body: { name, ...(at !== undefined && { at: at.toISOString() }) },
  }))
  return { id: made.id, name, login: source.login, connection: connectionTo(rig, made, source.login) }
}

export async function remove({ service }: Rig, { id, name }: Pick<Customer, 'id' | 'name'>, finalBackup = false): Promise<void> {
  await answerOf(service.api.DELETE('/v1/databases/{id}', { params: { path: { id } }, body: { confirmName: name, finalBackup, keepBackupsDays: 0 } }))
}

export async function gone({ service }: Rig, { id, name }: Pick<Customer, 'id' | 'name'>, limitMs = settleLimitMs): Promise<void> {
  await eventually(`the database ${name} to be gone`, async () => {
    const { response, data } = await service.api.GET('/v1/databases/{id}', { params: { path: { id } } }).catch(() => ({ response: null, data: undefined }))
    if (response?.status === 404) return true
    return new NotYet(data === undefined ? `status ${response?.status ?? 'none'}` : told(data))
  }, limitMs)
}

export async function query<Row extends pg.QueryResultRow>(customer: Customer, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  return inSession(customer, async (client) => (await client.query<Row>(text, [...values])).rows)
}

/** Writes although new transactions are read-only by default; the switch counts from the next transaction, so it is a statement of its own. */
export async function overrule(customer: Customer, text: string): Promise<void> {
  await inSession(customer, async (client) => {
    await client.query('set default_transaction_read_only = off')
    await client.query(text)
  })
}

async function inSession<T>({ connection }: Customer, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connection, query_timeout: queryTimeoutMs })
  // a connection that breaks between two calls is told by the next one
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await work(client)
  } finally {
    leave(client)
  }
}

/** Not waited for: whoever was at the other end may be gone without a word. */
function leave(client: pg.Client | null): void {
  client?.end().catch(() => undefined)
}

/** Until it is answered: while a server or its endpoint starts, connections are refused. */
export async function answered<Row extends pg.QueryResultRow>(customer: Customer, text: string, limitMs = settleLimitMs): Promise<Row[]> {
  return eventually(`an answer of ${customer.name}`, () => query<Row>(customer, text).catch((error: unknown) => new NotYet(String(error))), limitMs)
}

export interface Writer {
  /** How many commits were acknowledged. */
  acknowledged(): number
  /** The longest time between two acknowledgements since the last call, in milliseconds. */
  longestGapMs(): number
  /** Resolves at the next acknowledgement of a commit that began after this call. */
  writesAgain(limitMs?: number): Promise<void>
  /** No more writes; what was acknowledged must be there. */
  stop(): Promise<void>
  /** Asserts that every acknowledged row is there; gives how many. */
  check(where?: Customer, before?: number): Promise<number>
}

const pauseMs = 20
const table = 'written'

/** One row after the other through the endpoint, connecting anew whenever a connection breaks. */
export async function startWriter(customer: Customer): Promise<Writer> {
  await answered(customer, `create table if not exists ${table} (id bigint primary key, at timestamptz not null default clock_timestamp())`)
  const acknowledged: number[] = []
  let attempt = 0
  let gap = 0
  let last = performance.now()
  let isStopped = false
  const session: { client: pg.Client | null } = { client: null }
  const tryOne = async (): Promise<void> => {
    const id = (attempt += 1)
    try {
      session.client ??= await connect(customer)
      await session.client.query(`insert into ${table} (id) values ($1)`, [id])
      acknowledged.push(id)
      const now = performance.now()
      gap = Math.max(gap, now - last)
      last = now
    } catch {
      // not acknowledged: it may be there or not, and nobody counts on it
      leave(session.client)
      session.client = null
    }
  }
  const running = (async (): Promise<void> => {
    while (!isStopped) {
      await tryOne()
      await sleep(pauseMs)
    }
    leave(session.client)
  })()
  return {
    acknowledged: () => acknowledged.length,
    longestGapMs: () => {
      const longest = Math.max(gap, performance.now() - last)
      gap = 0
      return Math.round(longest)
    },
    async writesAgain(limitMs = settleLimitMs) {
      const from = attempt
      await eventually(`${customer.name} to take writes again`, async () => ((acknowledged.at(-1) ?? 0) > from + 1 ? true : new NotYet(`${acknowledged.length} rows so far`)), limitMs)
    },
    async stop() {
      isStopped = true
      await running
    },
    async check(where = customer, before = acknowledged.length) {
      const expected = acknowledged.slice(0, before)
      const rows = await answered<{ id: string }>(where, `select id from ${table}`)
      const there = new Set(rows.map(({ id }) => Number(id)))
      const lost = expected.filter((id) => !there.has(id))
      assert.deepEqual(lost, [], `of ${expected.length} acknowledged rows, ${lost.length} are lost`)
      return expected.length
    },
  }
}

async function connect({ connection }: Customer): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (error) {
    leave(client)
    throw error
  }
}
