/** The two ways a database comes into being: empty, or restored from a backup of another one. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Durability } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { tierNames, type TierName, type Topology } from '../domain/tiers.ts'
import { writeAudit, type Actor } from './actor.ts'
import { copyCredential, newPassword, roleName, type IssuedCredential } from './credentials.ts'
import { databaseView } from './databaseView.ts'
import { appendEvents } from './events.ts'
import { allowTopology } from './highAvailability.ts'
import { notFound } from './notFound.ts'
import { getOperation, insertOperation } from './operations.ts'
import { databaseNameFor, insertDatabase, newIds, type NewIds, type Provisioning } from './provision.ts'
import { chooseRestoreSource, type ChosenSource, type RestorePoint } from './restoreSource.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { DatabaseView, OperationView } from './views.ts'

export interface NewDatabase extends Provisioning {
  readonly projectId: string
  readonly name: string
  /** Inside PostgreSQL; by default the name with underscores. */
  readonly databaseName?: string
  readonly tier: TierName
  /** By default one server. */
  readonly topology?: Topology
  /** Of a cluster; `strict` by default. */
  readonly durability?: Durability
  /** By default what the tier gives. */
  readonly storageBytes?: number
  readonly allowList?: readonly string[]
}

export interface RestoredDatabase extends Provisioning, RestorePoint {
  readonly projectId: string
  readonly name: string
  readonly sourceDatabaseId: string
  /** By default one server, also of a cluster's backup: it is there soonest. */
  readonly topology?: Topology
  readonly durability?: Durability
  /** By default those of the source. */
  readonly tier?: TierName
  readonly storageBytes?: number
  readonly allowList?: readonly string[]
}

export async function createDatabase(
  database: ControlDatabase, keyring: Keyring, request: NewDatabase, actor: Actor,
): Promise<{ readonly database: DatabaseView; readonly credential: IssuedCredential }> {
  const { name, tier, topology = 'standalone', durability = 'strict' } = request
  const ids = newIds(topology)
  const databaseName = databaseNameFor(name, request.databaseName)
  const credential = { ...(await newPassword()), roleName: roleName(databaseName, 1) }
  const view = await database.transaction(async (sql) => {
    const teamId = await teamOfProject(sql, request.projectId)
    await allowTopology(sql, teamId, tier, topology)
    await insertDatabase(sql, keyring, { ...request, topology, durability, ids, databaseName, role: 'serving', credential })
    await writeAudit(sql, { actor, teamId, action: 'database.create', target: ids.database, facts: { name, tier, topology } })
    const what = topology === 'ha' ? `highly available ${tier} database ${name}` : `${tier} database ${name}`
    await appendEvents(sql, teamId, [{ databaseId: ids.database, severity: 'info', reason: 'DatabaseRequested', message: `The ${what} was asked for.` }])
    return databaseView(sql, ids.database)
  })
  return { database: view, credential: { id: credential.id, roleName: credential.roleName, password: credential.password } }
}

export async function createRestored(
  database: ControlDatabase, keyring: Keyring, request: RestoredDatabase, actor: Actor,
): Promise<{ readonly database: DatabaseView; readonly operation: OperationView }> {
  const ids = newIds(request.topology ?? 'standalone')
  const [operationId, credentialId] = [randomUUID(), randomUUID()]
  return database.transaction(async (sql) => {
    const { teamId, chosen } = await insertRestored(sql, keyring, request, { ids, operationId, credentialId }, actor)
    await writeRestoreStory(sql, request, chosen, { teamId, databaseId: ids.database, operationId }, actor)
    return { database: await databaseView(sql, ids.database), operation: await getOperation(sql, operationId) }
  })
}

export interface RestoredIds {
  readonly ids: NewIds
  readonly operationId: string
  readonly credentialId: string
}

/** The rows alone. Errors: those of `createRestored`. */
export async function insertRestored(
  sql: Sql, keyring: Keyring, request: RestoredDatabase, { ids, operationId, credentialId }: RestoredIds, actor: Actor,
): Promise<{ readonly teamId: string; readonly chosen: ChosenSource }> {
  const { topology = 'standalone', durability = 'strict' } = request
  const teamId = await teamOfProject(sql, request.projectId)
  const source = await sourceOf(sql, request.sourceDatabaseId, teamId)
  const chosen = await chooseRestoreSource(sql, request.sourceDatabaseId, request)
  const tier = request.tier ?? source.tier
  await allowTopology(sql, teamId, tier, topology)
  const storageBytes = request.storageBytes ?? source.storageBytes
  refuseSmaller(storageBytes, source.storageBytes)
  const credential = await copyCredential(sql, keyring, request.sourceDatabaseId, credentialId)
  const allowList = request.allowList ?? source.allowList
  const rows = { ...request, topology, durability, ids, databaseName: source.databaseName, tier, storageBytes, allowList }
  await insertDatabase(sql, keyring, { ...rows, role: 'restoring', credential })
  await insertOperation(sql, { id: operationId, databaseId: ids.database, kind: 'restore', input: chosen.source }, actor)
  await keepSource(sql, request.sourceDatabaseId)
  return { teamId, chosen }
}

const projectRow = z.object({ teamId: z.string() })

async function teamOfProject(sql: Sql, projectId: string): Promise<string> {
  // shared with other creations; a removal of the project's last network waits for it
  const project = await sql.maybe(projectRow, `select team_id as "teamId" from projects where id = $1 for share`, [projectId])
  if (project === undefined) throw notFound('project', projectId)
  return project.teamId
}

const sourceRow = z.object({
  databaseName: z.string(), tier: z.enum(tierNames), storageBytes: z.number(), allowList: z.array(z.string()),
})

async function sourceOf(sql: Sql, databaseId: string, teamId: string): Promise<z.output<typeof sourceRow>> {
  const source = await sql.maybe(
    sourceRow,
    `select d.database_name as "databaseName", d.tier, d.storage_bytes as "storageBytes", d.allow_list as "allowList"
       from databases d join projects p on p.id = d.project_id
      where d.id = $1 and p.team_id = $2 for share of d`,
    [databaseId, teamId],
  )
  if (source === undefined) throw notFound('database', databaseId)
  return source
}

function refuseSmaller(storageBytes: number, sourceBytes: number): void {
  if (storageBytes >= sourceBytes) return
  throw new HoldfastError('StorageCannotShrink', `A restored database needs at least the ${String(sourceBytes)} bytes of storage of its source.`, {
    next: 'Leave storageBytes out, or ask for more.',
  })
}

/** A deleted source keeps its backups while it is being restored from, and a day is longer than any restore takes. */
async function keepSource(sql: Sql, databaseId: string): Promise<void> {
  await sql.run(
    `update databases set backups_kept_until = greatest(backups_kept_until, now() + interval '1 day') where id = $1 and deletion_requested_at is not null`,
    [databaseId],
  )
}

interface RestoreIds {
  readonly teamId: string
  readonly databaseId: string
  readonly operationId: string
}

async function writeRestoreStory(sql: Sql, request: RestoredDatabase, { backupId, source }: ChosenSource, ids: RestoreIds, actor: Actor): Promise<void> {
  const { teamId, databaseId, operationId } = ids
  const facts = { name: request.name, sourceDatabaseId: request.sourceDatabaseId, backupId, targetTime: source.targetTime }
  await writeAudit(sql, { actor, teamId, action: 'database.restore', target: databaseId, facts })
  const point = source.targetTime === null ? `the end of the backup ${source.label}` : source.targetTime
  await appendEvents(sql, teamId, [{
    databaseId, operationId, severity: 'info', reason: 'RestoreRequested', facts,
    message: `The database ${request.name} is restored from database ${request.sourceDatabaseId}, to ${point}.`,
  }])
}
