/** From a cluster to one server, at any time: a server that follows already is taken, else the rows of a new one are made. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { Actor } from './actor.ts'
import { changeDatabase, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import { insertSecond, secondInstance } from './secondInstance.ts'
import type { Sql } from './sql.ts'
import { beginOperation } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import type { UpgradeOrder } from './upgrade.ts'
import type { OperationView } from './views.ts'

/** Errors: `NotHighlyAvailable`, `DatabaseNotReady`, `NoCapacity`, `Conflict`; `OperationInProgress`, `DatabasePaused`, `DatabaseDeleting`. */
export async function orderDowngrade(database: ControlDatabase, keyring: Keyring, databaseId: string, order: UpgradeOrder, actor: Actor): Promise<OperationView> {
  const { dryRun, move } = order
  const id = randomUUID()
  const server = secondInstance(databaseId, { topology: 'standalone', role: 'rollbackTarget' })
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    const hasServer = await findServer(sql, databaseId, change)
    if (!hasServer && !dryRun) await insertSecond(sql, keyring, server, order)
    return beginOperation(sql, change, { kind: 'downgrade', input: { dryRun, ...move }, id, databaseId }, actor)
  })
}

const instanceRow = z.object({ role: z.string(), isInitialised: z.boolean() })

/** Whether a server follows the cluster already, since an upgrade. */
async function findServer(sql: Sql, databaseId: string, { name, topology }: Changing): Promise<boolean> {
  if (topology !== 'ha') {
    throw new HoldfastError('NotHighlyAvailable', `The database ${name} is one server already.`, { next: 'There is nothing to take back.', facts: { topology } })
  }
  const instances = await sql.many(instanceRow, `select role, initialised_at is not null as "isInitialised" from instances where database_id = $1`, [databaseId])
  if (!instances.some(({ role, isInitialised }) => role === 'serving' && isInitialised)) {
    throw new HoldfastError('DatabaseNotReady', `The cluster of the database ${name} is not made yet.`, { next: 'Wait until the database is Ready.' })
  }
  const others = instances.filter(({ role }) => role !== 'serving')
  if (others.every(({ role }) => role === 'rollbackTarget')) return others.length > 0
  throw new HoldfastError('Conflict', `The database ${name} has another instance beside the serving one (${others.map(({ role }) => role).join(', ')}).`, {
    next: 'Wait until it is gone: `databases get` shows it.',
  })
}
