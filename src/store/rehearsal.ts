/**
 * Rehearsals: an upgrade tried on a copy of the database, which is a database of its own until it is deleted again. Asked for here; the
 * copy is made, upgraded and removed as its machine decides, and each of these may be written twice.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { HoldfastError, isHoldfastError, type ErrorCode } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { Actor } from './actor.ts'
import { changeDatabase, changeWithin, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import { insertRestored } from './createDatabase.ts'
import { findCopy } from './deletion.ts'
import { allowTopology } from './highAvailability.ts'
import { insertOperation } from './operations.ts'
import { newIds, type Provisioning } from './provision.ts'
import { insertSecond, secondInstance } from './secondInstance.ts'
import type { Sql } from './sql.ts'
import { beginOperation } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import { findFollower, type MoveOrder } from './upgrade.ts'
import type { OperationView } from './views.ts'

export interface UpgradeOfCopy {
  readonly operationId: string
  /** Of the upgrade. */
  readonly input: Readonly<Record<string, unknown>>
}

/** Errors: `TierNotHa`, `HaNotEnabled`, `Conflict`; `OperationInProgress`, `DatabasePaused`, `DatabaseDeleting`. */
export async function orderRehearsal(database: ControlDatabase, databaseId: string, move: MoveOrder, actor: Actor): Promise<OperationView> {
  const id = randomUUID()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    await allowTopology(sql, change.teamId, change.tier, 'ha')
    await findFollower(sql, databaseId, change)
    await refuseCopies(sql, databaseId, change)
    return beginOperation(sql, change, { kind: 'rehearseUpgrade', input: { ...move }, id, databaseId }, actor)
  })
}

const copyRow = z.object({ name: z.string(), isItself: z.boolean() })

async function refuseCopies(sql: Sql, databaseId: string, { name }: Changing): Promise<void> {
  const [copy] = await sql.many(copyRow, `select name, id = $1 as "isItself" from databases where rehearsal_of = $1 or (id = $1 and rehearsal_of is not null)`, [databaseId])
  if (copy === undefined) return
  throw copy.isItself
    ? new HoldfastError('Conflict', `The database ${name} is itself the copy of a rehearsal.`, { next: 'Nothing: it is removed when the rehearsal is over.' })
    : new HoldfastError('Conflict', `The copy ${copy.name} of the last rehearsal is still being removed.`, { next: 'Wait until it is gone, then ask again.' })
}

/** What `rehearseUpgrade` is to know of what was done for it. */
const orderedRow = z.object({ isMade: z.boolean(), isOrdered: z.boolean(), name: z.string(), projectId: z.string(), images: z.object({ postgres: z.string(), haproxy: z.string() }) })

async function findOrdered(sql: Sql, databaseId: string, operationId: string): Promise<z.output<typeof orderedRow> | undefined> {
  return sql.maybe(
    orderedRow,
    `select o.notes ? 'copyId' or o.notes ? 'refused' as "isMade", o.notes ? 'upgradeId' or o.notes ? 'refused' as "isOrdered", d.name, d.project_id as "projectId", d.images
       from operations o join databases d on d.id = o.database_id where o.id = $1 and d.id = $2 and o.finished_at is null`,
    [operationId, databaseId],
  )
}

const bytesRow = z.object({ databaseBytes: z.number().nullable() })

/** Nobody reaches the copy from outside: it has the data, and the passwords. */
const nobody: readonly string[] = []

export async function makeCopy(sql: Sql, keyring: Keyring, provisioning: Provisioning, databaseId: string, operationId: string): Promise<void> {
  const ordered = await findOrdered(sql, databaseId, operationId)
  if (ordered === undefined || ordered.isMade) return
  const { projectId, images } = ordered
  const ids = newIds('standalone')
  await unlessRefused(sql, operationId, async () => {
    const order = { ...provisioning, images, projectId, sourceDatabaseId: databaseId, name: copyName(ordered.name, operationId), allowList: nobody }
    const { chosen } = await insertRestored(sql, keyring, order, { ids, operationId: randomUUID(), credentialId: randomUUID() }, rehearser(operationId))
    await sql.run(`update databases set rehearsal_of = $2 where id = $1`, [ids.database, databaseId])
    const { databaseBytes } = await sql.one(bytesRow, `select database_bytes as "databaseBytes" from backups where id = $1`, [chosen.backupId])
    await note(sql, operationId, { copyId: ids.database, measured: { backup: chosen.source.label, databaseBytes } })
  })
}

export async function orderUpgradeOfCopy(sql: Sql, keyring: Keyring, provisioning: Provisioning, databaseId: string, { operationId, input }: UpgradeOfCopy): Promise<void> {
  const ordered = await findOrdered(sql, databaseId, operationId)
  const copyId = await findCopy(sql, databaseId)
  if (ordered === undefined || ordered.isOrdered || copyId === undefined) return
  const upgradeId = randomUUID()
  const cluster = secondInstance(copyId, { topology: 'ha', role: 'preparing' })
  await changeWithin(sql, copyId, async (_, change) => {
    // somebody else's: the upgrade waits until it is over
    if (change.isDeleting || (await sql.run(`select from operations where database_id = $1 and finished_at is null`, [copyId])) > 0) return
    await unlessRefused(sql, operationId, async () => {
      await allowTopology(sql, change.teamId, change.tier, 'ha')
      await findFollower(sql, copyId, change)
      await insertSecond(sql, keyring, cluster, provisioning)
      await insertOperation(sql, { id: upgradeId, databaseId: copyId, kind: 'upgradeToHa', input }, rehearser(operationId))
      await note(sql, operationId, { upgradeId })
    })
  })
}

/** What is refused is an answer, and ends the rehearsal: nothing of it stays, and the pass goes on. */
async function unlessRefused(sql: Sql, operationId: string, work: () => Promise<void>): Promise<void> {
  await sql.run('savepoint rehearsal')
  try {
    await work()
  } catch (error) {
    if (!isHoldfastError(error) || error.status >= 500 && !scarce.has(error.code)) throw error
    await sql.run('rollback to savepoint rehearsal')
    await note(sql, operationId, { refused: { code: error.code, message: error.message, next: error.next ?? 'Ask again when that is over.' } })
  }
}

const scarce: ReadonlySet<ErrorCode> = new Set(['NoCapacity', 'PortsExhausted', 'NetworksExhausted'])

async function note(sql: Sql, operationId: string, notes: Readonly<Record<string, unknown>>): Promise<void> {
  await sql.run(`update operations set notes = notes || $2::jsonb where id = $1 and finished_at is null`, [operationId, JSON.stringify(notes)])
}

function rehearser(operationId: string): Actor {
  return { tokenId: null, name: 'rehearsal', requestId: operationId }
}

const longestName = 40

/** It says whose it is, is a name as any other, and is no other rehearsal's. */
function copyName(name: string, operationId: string): string {
  const ending = `-rehearsal-${operationId.slice(0, 4)}`
  return `${name.slice(0, longestName - ending.length)}${ending}`
}
