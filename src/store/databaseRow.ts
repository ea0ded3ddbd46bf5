/** The row of a database itself, in a statement or inside JSON. */
import { z } from 'zod'
import { conditionTypes, type Condition } from '../domain/conditions.ts'
import { durabilities, finalizers, type Database } from '../domain/desired.ts'
import { tierNames, topologies } from '../domain/tiers.ts'
import { time } from './sql.ts'

export const conditionRow: z.ZodType<Condition> = z.object({
  type: z.enum(conditionTypes),
  status: z.enum(['true', 'false', 'unknown']),
  reason: z.string(),
  message: z.string(),
  changedAt: time,
})

export const databaseShape = {
  id: z.string(),
  name: z.string(),
  databaseName: z.string(),
  tier: z.enum(tierNames),
  topology: z.enum(topologies),
  durability: z.enum(durabilities),
  storageBytes: z.number(),
  allowList: z.array(z.string()),
  paused: z.boolean(),
  images: z.object({ postgres: z.string(), haproxy: z.string() }),
  extraCertificateNames: z.array(z.string()),
  generation: z.number(),
  observedGeneration: z.number(),
  conditions: z.array(conditionRow),
  createdAt: time,
  deletionRequestedAt: time.nullable(),
  finalBackup: z.boolean(),
  backupsKeptUntil: time.nullable(),
  finalizers: z.array(z.enum(finalizers)),
  removedAt: time.nullable(),
  rehearsalOf: z.string().nullable(),
}

export const databaseRow: z.ZodType<Database> = z.object(databaseShape)

export const databaseColumns = `
  d.id, d.name, d.database_name as "databaseName", d.tier, d.topology, d.durability, d.storage_bytes as "storageBytes",
  d.allow_list as "allowList", d.paused, d.images, d.extra_certificate_names as "extraCertificateNames",
  d.generation, d.observed_generation as "observedGeneration", d.conditions, d.created_at as "createdAt",
  d.deletion_requested_at as "deletionRequestedAt", d.final_backup as "finalBackup",
  d.backups_kept_until as "backupsKeptUntil", d.finalizers, d.removed_at as "removedAt", d.rehearsal_of as "rehearsalOf"`
