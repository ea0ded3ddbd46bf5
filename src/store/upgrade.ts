/** From one server to a cluster: a second instance of the database that is prepared beside the first, changes places with it, and goes. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { ClientWindow } from '../domain/action.ts'
import type { Instance, InstanceRole } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { writeAudit, type Actor } from './actor.ts'
import { changeDatabase, raiseGeneration, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import { allowTopology } from './highAvailability.ts'
import { getOperation, initialPhase } from './operations.ts'
import type { Provisioning } from './provision.ts'
import { sealContext } from './seal.ts'
import { insertSecond, secondInstance } from './secondInstance.ts'
import type { Sql } from './sql.ts'
import { beginOperation } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import type { OperationView } from './views.ts'

/** What clients meet while they are moved. What is left out is as usual. */
export interface MoveOrder {
  /** For how long they may wait, in milliseconds. */
  readonly budgetMs?: number
  readonly window?: ClientWindow
}

export interface RollbackOrder {
  /** Only says what stands in its way. */
  readonly dryRun: boolean
  readonly move: MoveOrder
}

export interface UpgradeOrder extends RollbackOrder, Pick<Provisioning, 'portRanges' | 'networkPool'> {}

/** Errors: `TierNotHa`, `HaNotEnabled`, `NoCapacity`, `Conflict`. */
export async function orderUpgrade(database: ControlDatabase, keyring: Keyring, databaseId: string, order: UpgradeOrder, actor: Actor): Promise<OperationView> {
  const id = randomUUID()
  const cluster = secondInstance(databaseId, { topology: 'ha', role: 'preparing' })
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    const hasFollower = await findFollower(sql, databaseId, change)
    // a dry run tells of these with everything else
    if (!order.dryRun) {
      await allowTopology(sql, change.teamId, change.tier, 'ha')
      if (!hasFollower) await insertSecond(sql, keyring, cluster, order)
    }
    return beginOperation(sql, change, { kind: 'upgradeToHa', input: { dryRun: order.dryRun, ...order.move }, id, databaseId }, actor)
  })
}

/** Errors: `Conflict` when there is no server that follows; `OperationInProgress`, `DatabasePaused`, `Deleting`. */
export async function orderRollback(database: ControlDatabase, databaseId: string, { dryRun, move }: RollbackOrder, actor: Actor): Promise<OperationView> {
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    await requireFormer(sql, databaseId, change)
    return beginOperation(sql, change, { kind: 'rollback', input: { dryRun, ...move }, id: randomUUID(), databaseId }, actor)
  })
}

async function requireFormer(sql: Sql, databaseId: string, { name }: Changing): Promise<void> {
  const former = await sql.maybe(z.object({}), `select from instances where database_id = $1 and role = 'rollbackTarget'`, [databaseId])
  if (former !== undefined) return
  throw new HoldfastError('Conflict', `The database ${name} has no former server that follows it: there is nothing to go back to.`, {
    next: 'An upgrade leaves one for 24 hours. For an earlier state, restore a backup.',
  })
}

const instanceRow = z.object({ role: z.string(), isKept: z.boolean() })

/** Whether a cluster follows since a rollback: it is the one that serves then. */
export async function findFollower(sql: Sql, databaseId: string, { name, topology }: Changing): Promise<boolean> {
  if (topology === 'ha') throw new HoldfastError('Conflict', `The database ${name} is highly available already.`, { next: 'There is nothing to upgrade.' })
  const others = await sql.many(instanceRow, `select role, kept_until is not null as "isKept" from instances where database_id = $1 and role <> 'serving'`, [databaseId])
  if (others.length === 0) return false
  if (others.every(({ role, isKept }) => role === 'preparing' && isKept)) return true
  throw new HoldfastError('Conflict', `The database ${name} has another instance beside the serving one (${others.map(({ role }) => role).join(', ')}).`, {
    next: 'Wait until it is gone: `databases get` shows it.',
  })
}

const cancellingRow = z.object({ databaseId: z.string(), kind: z.string(), phase: z.string(), isOver: z.boolean() })
/** In these nothing of the serving instance was changed. */
const cancellable: Readonly<Record<string, readonly string[]>> = {
  upgradeToHa: [initialPhase, 'preflight', 'copying'],
  rollback: [initialPhase, 'preflight'],
  // of a rehearsal nothing is: it can be until its copy is taken away
  rehearseUpgrade: [initialPhase, 'preflight', 'restoring', 'awaitingBackup', 'upgrading'],
  downgrade: [initialPhase, 'preflight', 'copying'],
}

/** The operation ends by itself soon after, unless it was over by then. Errors: `NotFound`, `Conflict` when there is no way back any more. */
export async function cancelOperation(database: ControlDatabase, operationId: string, actor: Actor): Promise<OperationView> {
  const { databaseId } = await getOperation(database, operationId)
  return changeDatabase(database, databaseId, async (sql, change) => {
    const row = await sql.one(cancellingRow, `select database_id as "databaseId", kind, phase, finished_at is not null as "isOver" from operations where id = $1 for update`, [operationId])
    if (row.isOver || cancellable[row.kind]?.includes(row.phase) !== true) {
      throw new HoldfastError('Conflict', `The operation ${row.kind} cannot be cancelled ${row.isOver ? 'any more: it has ended' : `in its phase ${row.phase}`}.`, {
        next: 'An upgrade, a rollback and a downgrade can be, until clients are moved, and a rehearsal until its copy is removed. Look at how it ends.', facts: { kind: row.kind, phase: row.phase },
      })
    }
    await sql.run(`update operations set notes = notes || '{"cancelRequested": true}' where id = $1`, [operationId])
    await writeAudit(sql, { actor, teamId: change.teamId, action: 'operation.cancel', target: databaseId, facts: { operationId, kind: row.kind } })
    await change.tell({ operationId, severity: 'info', reason: 'CancellationRequested', message: `The operation ${row.kind} is to be cancelled.`, facts: { kind: row.kind } })
    return getOperation(sql, operationId)
  })
}

export interface PlaceChange {
  readonly fromId: string
  readonly toId: string
  readonly systemIdentifier: string
  /** How long the former one follows. */
  readonly keptForMs: number
}

const repositoryRow = z.object({ id: z.string(), role: z.string(), kind: z.enum(['standalone', 'cluster']), path: z.string(), cipher: z.string() })
const following: ReadonlySet<string> = new Set<InstanceRole>(['preparing', 'rollbackTarget'])
/** Of one that served, by what it is. */
const formerRoles = { standalone: 'rollbackTarget', cluster: 'preparing' } as const satisfies Record<Instance['kind'], InstanceRole>

/**
 * The instance that followed serves, and the one that did follows it. Repository and backups go with the lineage, which is now the other's.
 * Done again, nothing changes.
 */
export async function changePlaces(sql: Sql, keyring: Keyring, databaseId: string, { fromId, toId, systemIdentifier, keptForMs }: PlaceChange): Promise<void> {
  const rows = await sql.many(
    repositoryRow,
    `select id, role, kind, repository_path as path, repository_cipher as cipher from instances where database_id = $1 and id in ($2, $3) for update`,
    [databaseId, fromId, toId],
  )
  const [from, to] = [fromId, toId].map((id) => rows.find((row) => row.id === id))
  if (from === undefined || to === undefined || from.role !== 'serving' || !following.has(to.role)) return
  const sealedFor = (id: string, row: z.output<typeof repositoryRow>): string =>
    keyring.seal(keyring.open(row.cipher, sealContext.repositoryCipher(row.id)), sealContext.repositoryCipher(id))
  // one after the other: two never serve, and no path belongs to two
  await sql.run(
    `update instances set role = $4, kept_until = now() + make_interval(secs => $2 / 1000.0), repository_path = $3 where id = $1`,
    [fromId, keptForMs, `${to.path}/former`, formerRoles[from.kind]],
  )
  await sql.run(
    `update instances
        set role = 'serving', kept_until = null, last_leader = null, initialised_at = coalesce(initialised_at, now()), system_identifier = coalesce(system_identifier, $2), repository_path = $3, repository_cipher = $4
      where id = $1`,
    [toId, systemIdentifier, from.path, sealedFor(toId, from)],
  )
  await sql.run(`update instances set repository_path = $2, repository_cipher = $3 where id = $1`, [fromId, to.path, sealedFor(fromId, to)])
  await sql.run(`update backups set instance_id = $2 where instance_id = $1`, [fromId, toId])
  await sql.run(`update databases set topology = $2 where id = $1`, [databaseId, to.kind === 'cluster' ? 'ha' : 'standalone'])
  // of another database each, which is to be filled from this lineage; last: whoever orders one holds the row of this database
  await sql.run(`update operations set input = jsonb_set(input, '{instanceId}', to_jsonb($2::text)) where kind = 'restore' and outcome is null and input ->> 'instanceId' = $1`, [fromId, toId])
  await raiseGeneration(sql, databaseId)
}

const longestKept = '7 days'
const keptRow = z.object({ isTooLong: z.boolean() })

/** Whether that changed anything. Errors: `Conflict` when nothing that served before is there, `InvalidRequest` when it is too long. */
export async function keepFormer(sql: Sql, databaseId: string, { name }: Changing, until: Date): Promise<boolean> {
  const [row] = await sql.many(keptRow, `select $2::timestamptz > now() + interval '${longestKept}' as "isTooLong" from instances where database_id = $1 and kept_until is not null`, [databaseId, until])
  if (row === undefined) throw new HoldfastError('Conflict', `The database ${name} has no former instance that follows it.`, { next: 'Leave rollbackUntil out: an upgrade or a rollback leaves one for 24 hours.' })
  if (row.isTooLong) throw new HoldfastError('InvalidRequest', `body.rollbackUntil: at most ${longestKept} from now; the former instance takes room, and WAL is kept for it.`, { next: 'Choose an earlier moment.' })
  // what is over is over now: whoever reads it later is not to wonder about the year
  return (await sql.run(`update instances set kept_until = greatest($2, now()) where database_id = $1 and kept_until is not null and kept_until is distinct from $2`, [databaseId, until])) > 0
}

const memberRow = z.object({ id: z.string() })

/** Of a retired instance of which nothing is left on any host. */
export async function removeInstance(sql: Sql, databaseId: string, instanceId: string): Promise<void> {
  const members = await sql.many(
    memberRow,
    `select m.id from members m join instances i on i.id = m.instance_id where i.id = $1 and i.database_id = $2 and i.role = 'retired'`,
    [instanceId, databaseId],
  )
  if (members.length === 0) return
  const ids = members.map(({ id }) => id)
  await sql.run(`delete from members where id = any($1::uuid[])`, [ids])
  await sql.run(`delete from ports where owner_id = any($1::uuid[])`, [ids])
  await sql.run(`delete from certificates where owner_id = any($1::uuid[])`, [[...ids, instanceId]])
  await sql.run(`delete from instances where id = $1`, [instanceId])
}
