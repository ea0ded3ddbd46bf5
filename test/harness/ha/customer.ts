/** A database as its customer orders it over the API, and the connections that its endpoint offers. */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { answerOf } from '../../../src/client/problem.ts'
import type { Database } from '../../../src/client/schema.ts'
import type { Login } from '../databases.ts'
import { placesOf, type MemberPlace } from './members.ts'
import { NotYet, until } from '../waiting.ts'
import { openSession, within } from './session.ts'
import type { Site } from './site.ts'

export interface ClusterCustomer {
  readonly id: string
  readonly name: string
  readonly login: Login
  /** To the read-write port; TLS with the host's name verified. */
  readonly readWrite: pg.ClientConfig
  readonly readOnly: pg.ClientConfig
  /** To the pool of the leader, and to that of the replicas. */
  readonly pooled: pg.ClientConfig
  readonly pooledReads: pg.ClientConfig
}

export interface Wish {
  readonly name: string
  readonly durability?: 'strict' | 'quorum'
  readonly storageBytes?: number
}

const readyLimitMs = 120_000
const goneLimitMs = 240_000
const sessionLimitMs = 10_000

/** A team that has the beta, and a project of it. */
export async function openHaProject({ api }: Pick<Site, 'api'>): Promise<string> {
  const name = `ha-${randomBytes(3).toString('hex')}`
  const team = await answerOf(api.POST('/v1/teams', { body: { name } }))
  await answerOf(api.PUT('/v1/teams/{id}/ha', { params: { path: { id: team.id } }, body: { enabled: true } }))
  return (await answerOf(api.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name: 'main' } }))).id
}

/** Asked for; nothing of it need be there yet. */
export function orderCluster(site: Pick<Site, 'api' | 'ca'>, projectId: string, wish: Wish): Promise<ClusterCustomer> {
  return order(site, projectId, { topology: 'ha', ...wish })
}

/** One server, which may become a cluster. */
export function orderServer(site: Pick<Site, 'api' | 'ca'>, projectId: string, wish: Pick<Wish, 'name'>): Promise<ClusterCustomer> {
  return order(site, projectId, wish)
}

async function order({ api, ca }: Pick<Site, 'api' | 'ca'>, projectId: string, wish: Wish & { readonly topology?: 'ha' }): Promise<ClusterCustomer> {
  const made = await answerOf(api.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body: { tier: 'standard', ...wish } }))
  const { endpoint, credentials } = made
  if (endpoint === null) throw new Error(`the database ${wish.name} was made without an endpoint`)
  const connection = { host: endpoint.host, ...credentials, ssl: { ca } }
  const { rw, ro, pooled } = endpoint.ports
  return {
    id: made.id, name: wish.name, login: credentials,
    readWrite: { ...connection, port: rw }, readOnly: { ...connection, port: ro },
    pooled: { ...connection, port: pooled }, pooledReads: { ...connection, port: pooled, database: `${credentials.database}_ro` },
  }
}

/** Three members are there; whether they run is for others to see. */
export async function memberPlaces(site: Site, id: string): Promise<readonly MemberPlace[]> {
  return until('three members', async () => {
    const places = await placesOf(site, id)
    return places.length === 3 ? places : new NotYet(`${places.length}`)
  }, { limitMs: readyLimitMs })
}

/** The controller has nothing left to do: backups taken, configuration where it should be. */
export async function untilClusterSettled({ api }: Pick<Site, 'api'>, id: string, limitMs: number): Promise<Database> {
  return until('the database to settle', async () => {
    const { data } = await api.GET('/v1/databases/{id}', { params: { path: { id } } }).catch(() => ({ data: undefined }))
    if (data === undefined) return new NotYet('the API does not answer')
    const conditions = data.status.conditions.filter(({ type }) => type === 'Ready' || type === 'Progressing')
    const isReady = conditions.some(({ type, status }) => type === 'Ready' && status === 'true')
    const isSettled = conditions.some(({ type, reason }) => type === 'Progressing' && reason === 'Settled')
    return isReady && isSettled ? data : new NotYet(conditions.map(({ type, status, message }) => `${type} ${status}: ${message}`).join('; '))
  }, { limitMs, everyMs: 500 })
}

export async function removeCluster({ api }: Pick<Site, 'api'>, { id, name }: ClusterCustomer): Promise<void> {
  await answerOf(api.DELETE('/v1/databases/{id}', { params: { path: { id } }, body: { confirmName: name, finalBackup: false, keepBackupsDays: 0 } }))
  await until(`the database ${name} to be gone`, async () => {
    const { response } = await api.GET('/v1/databases/{id}', { params: { path: { id } } })
    return response.status === 404 ? true : new NotYet(String(response.status))
  }, { limitMs: goneLimitMs, everyMs: 500 })
}

/** For short work of the customer's, again and again until the endpoint lets it through. */
export async function asCustomer<T>(connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>, limitMs = readyLimitMs): Promise<T> {
  return until('an answer through the endpoint', async () => {
    try {
      const session = await openSession(connection, sessionLimitMs)
      try {
        return await within(session, sessionLimitMs, () => work(session.client))
      } finally {
        session.leave()
      }
    } catch (error) {
      return new NotYet(String(error))
    }
  }, { limitMs, everyMs: 200 })
}
