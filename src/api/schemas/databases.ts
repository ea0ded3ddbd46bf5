/** A database as people ask for it and as they see it. */
import { z } from 'zod'
import { conditionTypes } from '../../domain/conditions.ts'
import { finalizers, instanceRoles } from '../../domain/desired.ts'
import { backup, failure, operationSummary } from './operations.ts'
import { tier } from './tenants.ts'
import * as words from './words.ts'

export const newDatabase = z
  .strictObject({
    name: words.name,
    databaseName: words.databaseName.exactOptional().describe('Inside PostgreSQL; by default the name with _ for -'),
    tier: words.tierName,
    topology: words.topology.exactOptional().describe('standalone: one server. ha: three members that fail over by themselves; the team has to have it turned on'),
    durability: words.durability.exactOptional().describe('Of topology ha. strict: a commit waits for every healthy replica. quorum: for any one of them'),
    storageBytes: words.storageBytes.exactOptional().describe("By default the tier's"),
    allowList: words.addressRanges.exactOptional(),
  })
  .refine((body) => body.durability === undefined || body.topology === 'ha', { path: ['durability'], message: 'is for topology ha: one server has no replica to wait for' })
  .refine((body) => body.databaseName !== undefined || !words.isReserved(body.name), {
    path: ['name'],
    message: 'would give a reserved name inside PostgreSQL: choose another or give databaseName as well',
  })

export const databaseChange = z
  .strictObject({
    name: words.name.exactOptional(),
    tier: words.tierName.exactOptional().describe('Of a highly available database it changes member by member: see the operation changeTier'),
    durability: words.durability.exactOptional(),
    storageBytes: words.storageBytes.exactOptional(),
    allowList: words.addressRanges.exactOptional(),
    rollbackUntil: words.moment.exactOptional().describe('How long the former server follows after an upgrade, or the cluster after a rollback: at most 7 days from now. A moment that is over ends it now; then there is no way back'),
    paused: z.boolean().exactOptional().describe('A paused database is observed and reported, never acted on'),
  })
  .refine((body) => Object.keys(body).length > 0, 'at least one field must be given')

export const deletion = z.strictObject({
  confirmName: z.string().min(1).max(40).describe('The name of the database, so that nothing is deleted by a slip'),
  finalBackup: z.boolean().default(true),
  keepBackupsDays: z.int().min(0).max(3650).exactOptional().describe('By default what the installation keeps'),
})

const condition = z
  .object({
    type: z.enum(conditionTypes),
    status: z.enum(['true', 'false', 'unknown']),
    reason: z.string().describe('One CamelCase word that programs may compare'),
    message: z.string(),
    changedAt: words.time,
  })
  .meta({ id: 'Condition' })

const member = z
  .object({
    id: words.id,
    name: z.string(),
    role: z.string().nullable().describe('primary or standby of a standalone, leader or replica of a cluster'),
    containerId: z.string().nullable(),
    host: z.string(),
    timeline: words.count.nullable(),
    lagBytes: words.bytes.nullable(),
    syncState: z.string().nullable().describe('sync, quorum, potential or async'),
    patroniState: z.string().nullable().describe("Of a cluster's member, in Patroni's words: running, starting, creating replica, …"),
  })
  .meta({ id: 'Member', description: 'Fields are null while nobody has looked' })

const instance = z
  .object({
    id: words.id,
    kind: z.enum(['standalone', 'cluster']),
    role: z.enum(instanceRoles),
    initialisedAt: words.time.nullable(),
    keptUntil: words.time.nullable().describe('Of one that served before: until then it follows the one that serves, in case of a way back'),
    members: z.array(member),
  })
  .meta({ id: 'Instance' })

const ports = z.object({ rw: words.count, ro: words.count, pooled: words.count })

const lastFailover = z.object({
  at: words.time,
  writeGapMs: z.number().nullable().describe('How long no write was acknowledged, as the controller measured it'),
  reason: z.string(),
  eventSeq: words.count.nullable().describe('The event that tells of it: GET /v1/events/{seq}/explanation'),
})

const rollback = z
  .object({
    until: words.time,
    ready: z.boolean().describe('Whether the former server follows closely now: the condition RollbackReady says more'),
    behindBytes: words.bytes.nullable().describe('WAL that it has not received yet: 0 is usual; a rollback waits for the rest, and loses none of it'),
  })
  .meta({ id: 'RollbackTarget', description: 'The way back to the server that served before an upgrade' })

const urls = z
  .object({ rw: z.string(), ro: z.string(), pooled: z.string() })
  .describe('Connection strings with user and database, never with a password')

export const database = z
  .object({
    id: words.id,
    name: z.string(),
    team: z.object({ id: words.id, name: z.string() }),
    project: z.object({ id: words.id, name: z.string() }),
    databaseName: z.string(),
    tier: words.tierName,
    tierFacts: tier,
    topology: words.topology,
    durability: words.durability.describe('Of topology ha'),
    storageBytes: words.bytes,
    allowList: z.array(z.string()),
    paused: z.boolean(),
    generation: words.count.describe('Rises with each change of what was asked for'),
    observedGeneration: words.count.describe('The newest generation that was seen to be reached'),
    createdAt: words.time,
    rehearsalOf: words.id.nullable().describe('Of a copy on which the upgrade of another database is rehearsed, and which is removed when that is over: the other one'),
    deletion: z
      .object({
        requestedAt: words.time,
        finalBackup: z.boolean(),
        backupsKeptUntil: words.time.nullable(),
        remaining: z.array(z.enum(finalizers)).describe('What is still to be done before it is gone'),
        removedAt: words.time.nullable(),
      })
      .nullable(),
    status: z.object({
      conditions: z.array(condition),
      operation: operationSummary.nullable().describe('The unfinished one, else the last one'),
      rollback: rollback.nullable().describe('After an upgrade: the way back, and what it would cost; null when there is none'),
      lastFailover: lastFailover.nullable().describe('When its leader was last lost and another member took over'),
      lastPassAt: words.time.nullable().describe('When the controller last looked at it'),
      lastError: failure.nullable().describe('Why its last pass failed; null when it did not'),
    }),
    instances: z.array(instance),
    endpoint: z.object({ host: z.string(), ports }).nullable(),
    proxies: z
      .array(z.object({ host: z.string().describe('The host that it runs on'), ports }))
      .describe("Each does, under the endpoint's name; a highly available database has two"),
    urls: urls.nullable(),
    libpqUrls: urls.nullable().describe('Of topology ha: with every proxy, for clients that try several hosts in turn, as libpq does'),
    backups: z.object({
      verified: words.count.describe('How many are kept and were read back'),
      repositoryBytes: words.bytes,
      lastVerifiedAt: words.time.nullable(),
      last: backup.nullable().describe('The newest, whatever became of it'),
      next: z.object({ kind: z.enum(['full', 'incremental']), at: words.time }).nullable(),
    }),
  })
  .meta({ id: 'Database' })

export const shownCredential = z
  .object({ user: z.string(), password: z.string(), database: z.string() })
  .meta({ id: 'ShownCredential', description: 'Shown in this answer and never again' })

export const createdDatabase = database.extend({ credentials: shownCredential }).meta({ id: 'CreatedDatabase' })

export const rotation = z.strictObject({
  overlapSeconds: z
    .int()
    .min(0)
    .max(30 * 24 * 3600)
    .default(24 * 3600)
    .describe('How long the old role may still log in'),
})
export const credential = z
  .object({
    id: words.id,
    roleName: z.string(),
    state: z.enum(['current', 'ending', 'ended']),
    createdAt: words.time,
    endsAt: words.time.nullable(),
    endedAt: words.time.nullable(),
    lastSeenAt: words.time.nullable().describe('When somebody was last seen connected with it'),
  })
  .meta({ id: 'Credential' })
export const rotated = z.object({ credentials: shownCredential, roles: z.array(credential) }).meta({ id: 'RotatedCredential' })

export const reconcileOrder = z.strictObject({
  wait: z.boolean().default(false).describe('Answer only when the database has settled or the time is up'),
  timeoutMs: z.int().min(100).max(60_000).default(30_000),
})
export const reconciled = z
  .object({ settled: z.boolean(), waitedMs: words.count, database })
  .meta({ id: 'Reconciled', description: 'The state as it is now, settled or not' })
