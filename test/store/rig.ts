/** A store on a database of its own, with two hosts, a team and a project, and what tests of the store need again and again. */
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { generateMasterKey, Keyring } from '../../src/domain/keyring.ts'
import { isHoldfastError, type ErrorCode } from '../../src/domain/errors.ts'
import { createStore, type Actor, type Lease, type NewDatabase, type Provisioning, type Store } from '../../src/store/store.ts'
import type { DatabaseView } from '../../src/store/views.ts'
import { testDatabase, type Ending, type TestDatabase } from '../harness/controlDatabase.ts'

export const actor: Actor = { tokenId: null, name: 'tester', requestId: 'request-1' }

export const provisioning: Provisioning = {
  images: { postgres: 'holdfast/postgres:1', haproxy: 'holdfast/haproxy:1' },
  endpointHost: (_id, name) => `${name}.db.example.test`,
  portRanges: { public: { from: 20_000, to: 20_999 }, internal: { from: 30_000, to: 30_999 } },
  networkPool: { cidr: '10.213.0.0/16', prefix: 26 },
}

export interface Rig {
  readonly store: Store
  readonly pool: Pool
  readonly keyring: Keyring
  readonly database: TestDatabase
  readonly teamId: string
  readonly projectId: string
  readonly hostIds: readonly string[]
  /** Asks for a starter database in the project. */
  create(name: string, changed?: Partial<NewDatabase>): Promise<DatabaseView>
  /** Leases it to `holder`; fails when another has it. */
  lease(databaseId: string, holder?: string): Promise<Lease>
  /** Marks its instance as initialised, as a pass would. */
  initialise(databaseId: string): Promise<string>
  count(table: string, where?: string): Promise<number>
}

export async function startRig(t: Ending, { hosts = 1 } = {}): Promise<Rig> {
  const database = await testDatabase(t)
  const { pool } = database
  const keyring = Keyring.parse(generateMasterKey())
  const store = createStore({ pool, keyring })
  const hostIds = await Promise.all(Array.from({ length: hosts }, (_, index) => registerHost(store, index + 1)))
  const { id: teamId } = await store.teams.create({ name: 'red' }, actor)
  const { id: projectId } = await store.projects.create({ teamId, name: 'shop' }, actor)
  const lease = async (databaseId: string, holder = 'controller-a'): Promise<Lease> => {
    const held = await store.queue.claimOne(databaseId, { holder, leaseSeconds: 60 })
    if (held === null) throw new Error(`database ${databaseId} is leased already`)
    return held
  }
  return {
    store, pool, keyring, database, teamId, projectId, hostIds, lease,
    create: async (name, changed = {}) => (await store.databases.create({ ...provisioning, projectId, name, tier: 'starter', ...changed }, actor)).database,
    async initialise(databaseId) {
      const held = await lease(databaseId, 'initialiser')
      const instanceId = (await store.databases.view(databaseId)).instances[0]?.id ?? ''
      await store.records.apply(held, [{ kind: 'instanceInitialised', instanceId, systemIdentifier: '7301' }])
      await store.queue.release(held, { dueInMs: 0 })
      return instanceId
    },
    count: async (table, where = 'true') => (await pool.query(`select from ${table} where ${where}`)).rowCount ?? 0,
  }
}

async function registerHost(store: Store, number: number): Promise<string> {
  const host = await store.hosts.register({
    id: randomUUID(), name: `host-${String(number)}`, engine: 'unix:///var/run/docker.sock', privateAddress: `172.17.0.${String(number)}`, publicAddress: '127.0.0.1',
  })
  return host.id
}

export function withCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => isHoldfastError(error) && error.code === code
}
