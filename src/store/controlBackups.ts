/** Backups of the control database itself, as far as it can know them: the store's list is what counts after its loss. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { ControlBackup } from './views.ts'

export interface ControlBackupStore {
  add(backup: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<ControlBackup>
  /** Newest first. */
  list(): Promise<readonly ControlBackup[]>
  remove(id: string): Promise<void>
}

const backupRow: z.ZodType<ControlBackup> = z.object({
  id: z.string(), objectKey: z.string(), bytes: z.number(), takenAt: time, verifiedAt: time.nullable(),
})
const columns = `id, object_key as "objectKey", bytes, taken_at as "takenAt", verified_at as "verifiedAt"`

export function controlBackupStore(database: ControlDatabase): ControlBackupStore {
  return {
    add: ({ objectKey, bytes, verified }) =>
      database.one(
        backupRow,
        `insert into control_backups (id, object_key, bytes, verified_at) values ($1, $2, $3, case when $4 then now() end)
         on conflict (object_key) do update set bytes = excluded.bytes, verified_at = excluded.verified_at
         returning ${columns}`,
        [randomUUID(), objectKey, bytes, verified],
      ),
    list: () => database.many(backupRow, `select ${columns} from control_backups order by taken_at desc, id`),
    remove: async (id) => void (await database.run(`delete from control_backups where id = $1`, [id])),
  }
}
