/** Operations, backups, restores and what happened: everything that takes time. */
import { z } from 'zod'
import { clientWindows } from '../../domain/action.ts'
import { operationKinds } from '../../domain/desired.ts'
import * as words from './words.ts'

export const failure = z.object({ code: z.string(), message: z.string(), next: z.string().optional().describe('What to do about it') })

export const operationKind = z.enum(operationKinds)

export const operationSummary = z
  .object({
    id: words.id,
    kind: operationKind,
    phase: z.string(),
    waitingFor: z.string().nullable(),
    progress: z.unknown().describe('Bytes, percent and step where the work tells them; null otherwise'),
    finishedAt: words.time.nullable(),
    outcome: z.enum(['succeeded', 'failed', 'cancelled']).nullable(),
    failure: failure.nullable(),
  })
  .meta({ id: 'OperationSummary' })

export const operation = operationSummary
  .extend({
    databaseId: words.id,
    requestedBy: z.string(),
    createdAt: words.time,
    phaseEnteredAt: words.time,
    progressedAt: words.time,
  })
  .meta({ id: 'Operation' })

const budgetMs = z.number().int().min(500).max(15_000).exactOptional().describe('Clients wait, or cannot write, no longer than this while they are moved: before that the move goes back by itself. 5,000 by default')
const clientWindow = z.enum(clientWindows).exactOptional()
  .describe('What clients of the read-write port meet meanwhile. hold, by default: all of them wait, and pooled ones see no error. readOnly: reads go on, and writes are refused with 25006')
const moving = { budgetMs, window: clientWindow }
const memberName = z.string().min(1).max(60)

export const newOperation = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('takeOverEndpoint'),
    fromDatabaseId: words.id.describe('The database whose endpoint this one takes; it gets the other in exchange'),
  }),
  z.strictObject({
    kind: z.literal('switchover'),
    candidate: memberName.exactOptional().describe('Name or id of the replica that is to lead; by default the best one'),
  }),
  z.strictObject({
    kind: z.literal('upgradeToHa'),
    ...moving,
    rehearse: z.boolean().exactOptional().describe('Performs it on a copy restored from the newest backup, removes that, and tells in `progress` how long clients would wait: the operation rehearseUpgrade'),
  }).describe('One server becomes a cluster of three; with dryRun only what stands in its way is told, in `progress`'),
  z.strictObject({ kind: z.literal('rollback'), ...moving }).describe('Back from the cluster to the server that follows it since the upgrade, without losing a row; the cluster follows then, ready for another upgrade. With dryRun only what stands in its way is told, in `progress`'),
  z.strictObject({ kind: z.literal('downgrade'), ...moving }).describe('From the cluster to one server at any time: one that follows already, else one that is made for it; the cluster follows then. With dryRun only what stands in its way is told, in `progress`'),
  z.strictObject({ kind: z.literal('restart') }).describe('Member by member, the leader last'),
  z.strictObject({
    kind: z.literal('reinitialise'),
    member: memberName.describe('Name or id of the replica whose data are thrown away and copied anew'),
  }),
])

export const operationQuery = z.strictObject({ dryRun: z.enum(['true', 'false']).default('false').describe('Of upgradeToHa, rollback and downgrade: begins nothing') })

export const newBackup = z.strictObject({ kind: z.enum(['full', 'incremental']).default('full') })
export const backup = z
  .object({
    id: words.id,
    databaseId: words.id,
    instanceId: words.id,
    kind: z.enum(['full', 'incremental']),
    trigger: z.enum(['initial', 'scheduled', 'manual', 'final']),
    state: z.enum(['requested', 'running', 'verifying', 'verified', 'failed', 'expired']),
    label: z.string().nullable().describe("pgBackRest's name of the set"),
    requestedAt: words.time,
    startedAt: words.time.nullable(),
    finishedAt: words.time.nullable(),
    verifiedAt: words.time.nullable().describe('When it was read back from the store: only then is it a backup'),
    databaseBytes: words.bytes.nullable(),
    repositoryBytes: words.bytes.nullable(),
    objectCount: words.count.nullable(),
    failure: failure.nullable(),
  })
  .meta({ id: 'Backup' })

export const restoreOrder = z
  .strictObject({
    name: words.name.describe('Of the new database: a restore never touches its source'),
    projectId: words.id.exactOptional().describe("By default the source's project"),
    backupId: words.id.exactOptional(),
    at: words.moment.exactOptional().describe('A moment to go back to. Without it and backupId: the newest backup'),
    topology: words.topology.exactOptional().describe('standalone, by default, is there soonest. ha: three members, made around the restored data'),
    durability: words.durability.exactOptional().describe('Of topology ha'),
  })
  .refine((body) => body.durability === undefined || body.topology === 'ha', { path: ['durability'], message: 'is for topology ha: one server has no replica to wait for' })
  .refine((body) => body.backupId === undefined || body.at === undefined, 'give either backupId or at, not both')

export const event = z
  .object({
    seq: words.count.describe('Gapless for each team'),
    at: words.time,
    databaseId: words.id.nullable(),
    operationId: words.id.nullable(),
    severity: z.enum(['info', 'warning', 'error']),
    reason: z.string(),
    message: z.string(),
    facts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' })

export const auditEntry = z
  .object({
    id: words.count,
    at: words.time,
    tokenId: words.id.nullable(),
    teamId: words.id.nullable(),
    action: z.string(),
    target: z.string().nullable(),
    requestId: z.string(),
    facts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditEntry' })
