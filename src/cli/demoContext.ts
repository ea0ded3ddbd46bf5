/** What the chapters of the demo share: the story so far, and how they reach the service and its databases. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { HoldfastClient } from '../client/client.ts'
import { answerOf } from '../client/problem.ts'
import type { Database } from '../client/schema.ts'
import type { Config } from '../config.ts'

export type Say = (line: string) => void

/** What a fault cost, as a client saw it; times in milliseconds. */
export interface Gap {
  readonly event: string
  readonly writeGapMs: number
  readonly readGapMs: number
  /** Rows acknowledged to the writer, and how many of them were missing afterwards. */
  readonly acked: number
  readonly lost: number
}

export interface LoginOf {
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface DemoContext {
  readonly config: Config
  readonly client: HoldfastClient
  readonly ca: string
  /** By id, in the order they were made. */
  readonly databases: Map<string, Database>
  readonly logins: Map<string, LoginOf>
  readonly gaps: Gap[]
  /** Ids of the rows that were acknowledged to writers, by database. */
  readonly acknowledged: Map<string, string[]>
  teamId: string | null
  projectId: string | null
  checksum: string | null
}

const stepTimeoutMs = 180_000
const lookMs = 250

export type Port = 'rw' | 'ro' | 'pooled'

/** How a customer connects: the endpoint's name, verified against the authority they downloaded. */
export function connectionTo(context: DemoContext, id: string, port: Port): pg.ClientConfig {
  const endpoint = context.databases.get(id)?.endpoint
  const login = context.logins.get(id)
  if (endpoint === null || endpoint === undefined || login === undefined) throw new Error('the database has no endpoint yet')
  return { host: endpoint.host, port: endpoint.ports[port], ...login, ssl: { ca: context.ca } }
}

export async function withClient<T>(context: DemoContext, id: string, port: Port, use: (connection: pg.Client) => Promise<T>): Promise<T> {
  const connection = new pg.Client({ ...connectionTo(context, id, port), connectionTimeoutMillis: 5_000, query_timeout: 60_000 })
  // a connection that breaks while nobody waits for an answer is told by the next query
  connection.on('error', () => undefined)
  try {
    await connection.connect()
    return await use(connection)
  } finally {
    await connection.end().catch(() => undefined)
  }
}

export async function database(client: HoldfastClient, id: string): Promise<Database> {
  return answerOf(client.GET('/v1/databases/{id}', { params: { path: { id } } }))
}

/** Asks until the answer is not null. Errors: what `ask` throws, and the limit of a step. */
export async function until<T>(what: string, ask: () => Promise<T | null>, everyMs = lookMs): Promise<T> {
  const deadline = performance.now() + stepTimeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (performance.now() > deadline) throw new Error(`gave up after ${stepTimeoutMs / 1000} s of waiting for ${what}`)
    await sleep(everyMs)
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}
