/**
 * The real API on a real control database, without a listening port: two teams with a project each, and tokens.
 * `stateOf` is how tests know that nothing changed: a digest of every row, except when a token was last used.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { InjectOptions } from 'fastify'
import { pino } from 'pino'
import type { Pool } from 'pg'
import { z } from 'zod'
import { createApi } from '../../src/api/server.ts'
import { usualLimits, type ApiParts, type ApiSettings } from '../../src/api/settings.ts'
import { Keyring } from '../../src/domain/keyring.ts'
import type { LiveMember } from '../../src/domain/liveStatus.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createStore, type Actor, type Store } from '../../src/store/store.ts'
import { createMetrics } from '../../src/telemetry.ts'
import { testDatabase } from '../harness/controlDatabase.ts'

export const operator: Actor = { tokenId: null, name: 'test', requestId: 'test' }
export const hostId = '0b6f0a52-6a3c-4c8e-9d1b-2f5a3c1d4e5f'

export const settings: ApiSettings = {
  installation: 'hfapi',
  provisioning: {
    images: { postgres: 'holdfast/postgres:000000000000', haproxy: 'holdfast/haproxy:000000000000' },
    endpointHost: () => 'db.example.test',
    portRanges: { public: { from: 21_000, to: 21_999 }, internal: { from: 24_000, to: 24_999 } },
    networkPool: { cidr: '10.213.0.0/16', prefix: 26 },
  },
  metricsArePublic: false,
  deletedBackupsKeptDays: 7,
  ...usualLimits,
}

const keyring = Keyring.parse(new Secret(`test:${randomBytes(32).toString('base64')}`))

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  readonly body: unknown
}

export interface Service {
  readonly app: Awaited<ReturnType<typeof createApi>>
  readonly pool: Pool
  readonly store: Store
  readonly tokens: Readonly<Record<'platform' | 'red' | 'redMember' | 'blue', string>>
  readonly teams: Readonly<Record<'red' | 'blue', string>>
  readonly projects: Readonly<Record<'red' | 'blue', string>>
  /** What the observer would tell; tests add to it. */
  readonly live: Map<string, readonly LiveMember[]>
  call(token: string | null, method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, body?: InjectOptions['payload']): Promise<Answer>
}

export async function startService(t: TestContext, changed: Partial<ApiParts> = {}): Promise<Service> {
  const { pool } = await testDatabase(t)
  const store = createStore({ pool, keyring })
  const live = new Map<string, readonly LiveMember[]>()
  const app = await createApi({
    store,
    settings,
    logger: pino({ level: 'silent' }),
    metrics: createMetrics({ ofProcess: false }),
    readiness: async () => [{ name: 'controlDatabase', ok: true, message: 'answers' }],
    live: { of: async (databaseId) => live.get(databaseId) ?? null },
    tls: { key: '', cert: '' },
    ...changed,
  })
  t.after(() => app.close())
  await store.hosts.register({ id: hostId, name: 'alpha', engine: 'unix:///var/run/docker.sock', privateAddress: '172.17.0.1', publicAddress: '192.0.2.1' })
  const [red, blue] = [await tenant(store, 'red'), await tenant(store, 'blue')]
  return {
    app, pool, store, live,
    teams: { red: red.team, blue: blue.team },
    projects: { red: red.project, blue: blue.project },
    tokens: { platform: await newToken(store, null, 'admin'), red: red.token, redMember: await newToken(store, red.team, 'member'), blue: blue.token },
    async call(token, method, url, body) {
      const headers = token === null ? {} : { authorization: `Bearer ${token}` }
      const answer = await app.inject({ method, url, headers, ...(body === undefined ? {} : { payload: body }) })
      return { status: answer.statusCode, headers: answer.headers, text: answer.body, body: parsed(answer.body) }
    },
  }
}

export async function newToken(store: Store, teamId: string | null, role: 'admin' | 'member', expiresAt?: Date): Promise<string> {
  const made = await store.tokens.create({ teamId, name: 'test', role, ...(expiresAt === undefined ? {} : { expiresAt }) }, operator)
  return made.token.reveal()
}

/** Creates a database through the API; the answer holds its password. */
export async function newDatabase(service: Service, team: 'red' | 'blue', name: string) {
  const answer = await service.call(service.tokens[team], 'POST', `/v1/projects/${service.projects[team]}/databases`, { name, tier: 'starter' })
  return createdDatabase.parse(answer.body)
}

const createdDatabase = z.looseObject({ id: z.string(), name: z.string(), credentials: z.object({ user: z.string(), password: z.string(), database: z.string() }) })

const tableRow = z.object({ name: z.string() })
const digestRow = z.object({ rows: z.number(), digest: z.string().nullable() })

export async function stateOf(pool: Pool): Promise<Readonly<Record<string, string>>> {
  const tables = await pool.query(`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' order by 1`)
  const state: Record<string, string> = {}
  for (const { name } of z.array(tableRow).parse(tables.rows)) {
    const { rows } = await pool.query(`select count(*)::int as rows, md5(string_agg(md5((to_jsonb(t) - 'last_used_at')::text), '' order by to_jsonb(t)::text)) as digest from "${name}" t`)
    const row = digestRow.parse(rows[0])
    state[name] = `${row.rows} rows, ${row.digest ?? 'none'}`
  }
  return state
}

async function tenant(store: Store, name: string): Promise<{ readonly team: string; readonly project: string; readonly token: string }> {
  const team = await store.teams.create({ name }, operator)
  const project = await store.projects.create({ teamId: team.id, name: 'shop' }, operator)
  return { team: team.id, project: project.id, token: await newToken(store, team.id, 'admin') }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** As if it had been made and read back. */
export async function verifiedBackup(service: Service, databaseId: string): Promise<string> {
  const id = randomUUID()
  await service.pool.query(
    `insert into backups (id, database_id, instance_id, kind, trigger, state, label, started_at, finished_at, verified_at, repository_bytes)
     select $1, $2, id, 'full', 'manual', 'verified', '20300101-000000F', now(), now(), now(), 1000 from instances where database_id = $2`,
    [id, databaseId],
  )
  return id
}
