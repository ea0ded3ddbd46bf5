/** Backups as they are known here; the store that holds them is asked elsewhere. */
import { z } from 'zod'
import type { RestoreSource } from '../domain/action.ts'
import type { Backup, BackupState, Instance } from '../domain/desired.ts'
import type { Keyring } from '../domain/keyring.ts'
import { found } from './notFound.ts'
import { chooseRestoreSource, type RestorePoint } from './restoreSource.ts'
import { sealContext } from './seal.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'

export interface PurgeDue {
  readonly databaseId: string
  readonly instanceId: string
  readonly repositoryPath: string
}

export interface BackupStore {
  /** Throws `NotFound`. */
  get(backupId: string): Promise<Backup>
  /** Newest first, at most 200. */
  list(databaseId: string, states?: readonly BackupState[]): Promise<readonly Backup[]>
  /** What a restore to this point would begin from. Errors: `BackupNotUsable`, `RestorePointOutOfRange`. */
  restoreSource(databaseId: string, point: RestorePoint): Promise<RestoreSource>
  /** Where an instance's backups lie and what opens them. Throws `NotFound`. */
  repositoryOf(instanceId: string): Promise<Instance['repository']>
  /** Removed databases whose backups are not kept any longer. */
  dueForPurge(): Promise<readonly PurgeDue[]>
}

const longestList = 200

export const failureRow = z.object({ code: z.string(), message: z.string(), next: z.string().optional() })

export const backupRow: z.ZodType<Backup> = z.object({
  id: z.string(),
  databaseId: z.string(),
  instanceId: z.string(),
  kind: z.enum(['full', 'incremental']),
  trigger: z.enum(['initial', 'scheduled', 'manual', 'final']),
  state: z.enum(['requested', 'running', 'verifying', 'verified', 'failed', 'expired']),
  attempt: z.number(),
  label: z.string().nullable(),
  requestedAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  verifiedAt: time.nullable(),
  stopLsn: z.string().nullable(),
  databaseBytes: z.number().nullable(),
  repositoryBytes: z.number().nullable(),
  objectCount: z.number().nullable(),
  failure: failureRow.nullable(),
})

export const backupColumns = `
  b.id, b.database_id as "databaseId", b.instance_id as "instanceId", b.kind, b.trigger, b.state, b.attempt, b.label,
  b.requested_at as "requestedAt", b.started_at as "startedAt", b.finished_at as "finishedAt", b.verified_at as "verifiedAt",
  b.stop_lsn as "stopLsn", b.database_bytes as "databaseBytes", b.repository_bytes as "repositoryBytes",
  b.object_count as "objectCount", b.failure`

const purgeRow: z.ZodType<PurgeDue> = z.object({ databaseId: z.string(), instanceId: z.string(), repositoryPath: z.string() })

const repositoryRow = z.object({ path: z.string(), sealed: z.string() })

export function backupStore(database: ControlDatabase, keyring: Keyring): BackupStore {
  return {
    async get(backupId) {
      return found(await database.maybe(backupRow, `select ${backupColumns} from backups b where b.id = $1`, [backupId]), 'backup', backupId)
    },
    list: (databaseId, states) =>
      database.many(
        backupRow,
        `select ${backupColumns} from backups b
          where b.database_id = $1 and ($2::text[] is null or b.state = any($2))
          order by b.requested_at desc, b.id limit $3`,
        [databaseId, states ?? null, longestList],
      ),
    async restoreSource(databaseId, point) {
      return (await chooseRestoreSource(database, databaseId, point)).source
    },
    async repositoryOf(instanceId) {
      const row = await database.maybe(repositoryRow, `select repository_path as path, repository_cipher as sealed from instances where id = $1`, [instanceId])
      const { path, sealed } = found(row, 'instance', instanceId)
      return { path, cipher: keyring.open(sealed, sealContext.repositoryCipher(instanceId)) }
    },
    dueForPurge: () =>
      database.many(
        purgeRow,
        `select d.id as "databaseId", i.id as "instanceId", i.repository_path as "repositoryPath"
           from databases d join instances i on i.database_id = d.id
          where d.removed_at is not null and 'backups' = any(d.finalizers) and d.backups_kept_until <= now()
          order by d.backups_kept_until, i.id`,
      ),
  }
}
