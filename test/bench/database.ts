/** A database of a benchmark, from its customer's side: made, queried through its endpoint, removed without a trace. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { answerOf } from '../../src/client/problem.ts'
import type { Installation } from './installation.ts'

export interface Customer {
  readonly id: string
  readonly name: string
  readonly connection: pg.ClientConfig
}

/** A customer who waits tries about this often; each try costs the machine that is measured. */
const tryMs = 20
const limitMs = 120_000
const lookMs = 100
const settleMs = 30_000

export async function createStarter({ client, projectId, ca }: Installation, name: string): Promise<Customer> {
  const made = await answerOf(client.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body: { name, tier: 'starter' } }))
  const { endpoint, credentials } = made
  if (endpoint === null) throw new Error(`the database ${name} was made without an endpoint`)
  return { id: made.id, name, connection: { host: endpoint.host, port: endpoint.ports.rw, ...credentials, ssl: { ca } } }
}

/** Connects and asks until there is an answer. */
export async function firstAnswer(connection: pg.ClientConfig): Promise<void> {
  await until('the first answer', async () => {
    try {
      return await ask(connection)
    } catch {
      return false
    }
  }, tryMs)
}

async function ask(connection: pg.ClientConfig): Promise<true> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5_000, query_timeout: 5_000 })
  // a connection that breaks between two calls is told by the next one
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Until no backup is under way and a pass has found nothing left to do. */
export async function settle({ client }: Installation, { id }: Pick<Customer, 'id'>): Promise<void> {
  const params = { path: { id } }
  await until('the first backup to end', async () => {
    const { items } = await answerOf(client.GET('/v1/databases/{id}/backups', { params }))
    return items.length > 0 && items.every(({ state }) => state === 'verified' || state === 'failed')
  })
  await until('the database to settle', async () => {
    const { settled } = await answerOf(client.POST('/v1/databases/{id}/reconcile', { params, body: { wait: true, timeoutMs: settleMs } }))
    return settled
  })
}

/** Gone, with its backups, before the next measurement: what tidies up would be measured along. */
export async function removeStarter({ client }: Installation, { id, name }: Customer): Promise<void> {
  const params = { path: { id } }
  await answerOf(client.DELETE('/v1/databases/{id}', { params, body: { confirmName: name, finalBackup: false, keepBackupsDays: 0 } }))
  await until(`the database ${name} to be gone`, async () => (await client.GET('/v1/databases/{id}', { params })).response.status === 404)
}

export async function until(what: string, holds: () => Promise<boolean>, everyMs = lookMs): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`gave up after ${limitMs / 1_000} s of waiting for ${what}`)
    await sleep(everyMs)
  }
}
