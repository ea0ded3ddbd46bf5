/**
 * Changes to what was asked for. Only what differs is written, told and raises the generation. A cluster's tier changes
 * member by member: that is an operation, begun in the same transaction.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { movingKinds, type Durability } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { tiers, type TierName } from '../domain/tiers.ts'
import { writeAudit, type Actor } from './actor.ts'
import { changeDatabase, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import { databaseView } from './databaseView.ts'
import { refuseTierWithoutHa } from './highAvailability.ts'
import type { Sql } from './sql.ts'
import { beginOperation } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import { keepFormer } from './upgrade.ts'
import type { DatabaseView } from './views.ts'

export interface DatabasePatch {
  readonly name?: string
  /** A larger tier brings its storage with it, unless `storageBytes` says otherwise; a smaller one takes none away. */
  readonly tier?: TierName
  /** Of a cluster. */
  readonly durability?: Durability
  readonly storageBytes?: number
  readonly allowList?: readonly string[]
  readonly paused?: boolean
  /** Until when the instance that served before follows; a moment that is over ends it now. */
  readonly rollbackUntil?: Date
}

export async function patchDatabase(database: ControlDatabase, databaseId: string, patch: DatabasePatch, actor: Actor): Promise<DatabaseView> {
  const operationId = randomUUID()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refuseDurability(change, patch)
    await refuseHalfWay(sql, databaseId, patch)
    const rolling = rollingTier(change, patch)
    const facts = { ...patch, ...storageOf(change, patch) }
    const isKept = patch.rollbackUntil !== undefined && (await keepFormer(sql, databaseId, change, patch.rollbackUntil))
    if (!(await writePatch(sql, databaseId, facts)) && !isKept) return databaseView(sql, databaseId)
    await writeAudit(sql, { actor, teamId: change.teamId, action: 'database.patch', target: databaseId, facts })
    const what = Object.keys(facts).join(', ')
    await change.tell({ severity: 'info', reason: 'DatabaseChanged', message: `Changed of the database ${change.name}: ${what}.`, facts })
    if (rolling !== null) await beginOperation(sql, change, { id: operationId, databaseId, kind: 'changeTier', input: rolling }, actor)
    return databaseView(sql, databaseId)
  })
}

/** How the tier of a cluster changes; null where nothing has to roll. Errors: `TierNotHa`, `DatabasePaused`. */
function rollingTier(change: Changing, { tier, paused }: DatabasePatch): { readonly fromTier: TierName; readonly toTier: TierName } | null {
  if (change.topology !== 'ha' || tier === undefined) return null
  refuseTierWithoutHa(tier)
  if (tier === change.tier) return null
  if (paused !== false) refusePaused(change)
  return { fromTier: change.tier, toTier: tier }
}

const moveRow = z.object({ phase: z.string() })

/** A pause would leave clients between two servers, and another tier may have no clusters, or ask more of a cluster that follows than it was made for. */
async function refuseHalfWay(sql: Sql, databaseId: string, { tier, paused }: DatabasePatch): Promise<void> {
  if (tier === undefined && paused !== true) return
  const move = await sql.maybe(moveRow, `select phase from operations where database_id = $1 and kind = any($2) and finished_at is null`, [databaseId, [...movingKinds]])
  if (move !== undefined && (tier !== undefined || move.phase === 'movingClients')) {
    throw new HoldfastError('OperationInProgress', 'The clients of the database are being moved to another instance.', { next: 'Wait until that has ended, or cancel it.' })
  }
  const follower = tier === undefined ? undefined : await sql.maybe(z.object({}), `select from instances where database_id = $1 and role = 'preparing'`, [databaseId])
  if (follower === undefined) return
  throw new HoldfastError('Conflict', 'A cluster follows the database since it was rolled back, and is made for the tier that it has now.', { next: 'Upgrade again and change the tier then, or end its time first: rollbackUntil.' })
}

function refuseDurability({ name, topology }: Changing, { durability }: DatabasePatch): void {
  if (durability === undefined || topology === 'ha') return
  throw new HoldfastError('NotHighlyAvailable', `The database ${name} is one server: there is no replica that a commit could wait for.`, {
    next: 'Leave durability out.', facts: { topology: 'standalone' },
  })
}

function storageOf({ storageBytes, name }: Changing, patch: DatabasePatch): { readonly storageBytes?: number } {
  if (patch.storageBytes === undefined) {
    return patch.tier === undefined ? {} : { storageBytes: Math.max(storageBytes, tiers[patch.tier].storageBytes) }
  }
  if (patch.storageBytes >= storageBytes) return { storageBytes: patch.storageBytes }
  throw new HoldfastError('StorageCannotShrink', `The database ${name} has ${String(storageBytes)} bytes of storage already, and storage never shrinks.`, {
    next: 'Ask for at least as much, or move the data to a new database.',
    facts: { storageBytes },
  })
}

async function writePatch(sql: Sql, databaseId: string, { name, tier, durability, storageBytes, allowList, paused }: DatabasePatch): Promise<boolean> {
  const written = await sql.run(
    `with wanted as (
       select coalesce($2, name) as name, coalesce($3, tier) as tier, coalesce($4::bigint, storage_bytes) as storage_bytes,
              coalesce($5::cidr[], allow_list) as allow_list, coalesce($6::boolean, paused) as paused, coalesce($7, durability) as durability
         from databases where id = $1)
     update databases d
        set name = w.name, tier = w.tier, storage_bytes = w.storage_bytes, allow_list = w.allow_list, paused = w.paused,
            durability = w.durability, generation = generation + 1
       from wanted w
      where d.id = $1
        and (d.name, d.tier, d.storage_bytes, d.allow_list, d.paused, d.durability)
            is distinct from (w.name, w.tier, w.storage_bytes, w.allow_list, w.paused, w.durability)`,
    [databaseId, name ?? null, tier ?? null, storageBytes ?? null, allowList ?? null, paused ?? null, durability ?? null],
  )
  return written > 0
}
