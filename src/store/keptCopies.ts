/**
 * What the installation keeps of itself in the object store, as far as the control database can know it: its own backups, and
 * snapshots of etcd. The store's own list is what counts after a loss.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { KeptCopy } from './views.ts'

export interface KeptCopyStore {
  add(copy: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<KeptCopy>
  /** Newest first. */
  list(): Promise<readonly KeptCopy[]>
  remove(id: string): Promise<void>
}

const copyRow: z.ZodType<KeptCopy> = z.object({
  id: z.string(), objectKey: z.string(), bytes: z.number(), takenAt: time, verifiedAt: time.nullable(),
})
const columns = `id, object_key as "objectKey", bytes, taken_at as "takenAt", verified_at as "verifiedAt"`

export function keptCopyStore(database: ControlDatabase, table: 'control_backups' | 'etcd_snapshots'): KeptCopyStore {
  return {
    add: ({ objectKey, bytes, verified }) =>
      database.one(
        copyRow,
        `insert into ${table} (id, object_key, bytes, verified_at) values ($1, $2, $3, case when $4 then now() end)
         on conflict (object_key) do update set bytes = excluded.bytes, verified_at = excluded.verified_at
         returning ${columns}`,
        [randomUUID(), objectKey, bytes, verified],
      ),
    list: () => database.many(copyRow, `select ${columns} from ${table} order by taken_at desc, id`),
    remove: async (id) => void (await database.run(`delete from ${table} where id = $1`, [id])),
  }
}
