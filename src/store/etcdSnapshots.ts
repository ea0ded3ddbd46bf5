/** Snapshots of etcd in the object store, as far as this database can know them: the store's own list is what counts after its loss. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { EtcdSnapshot } from './views.ts'

export interface EtcdSnapshotStore {
  add(snapshot: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<EtcdSnapshot>
  /** Newest first. */
  list(): Promise<readonly EtcdSnapshot[]>
  remove(id: string): Promise<void>
}

const snapshotRow: z.ZodType<EtcdSnapshot> = z.object({
  id: z.string(), objectKey: z.string(), bytes: z.number(), takenAt: time, verifiedAt: time.nullable(),
})
const columns = `id, object_key as "objectKey", bytes, taken_at as "takenAt", verified_at as "verifiedAt"`

export function etcdSnapshotStore(database: ControlDatabase): EtcdSnapshotStore {
  return {
    add: ({ objectKey, bytes, verified }) =>
      database.one(
        snapshotRow,
        `insert into etcd_snapshots (id, object_key, bytes, verified_at) values ($1, $2, $3, case when $4 then now() end)
         on conflict (object_key) do update set bytes = excluded.bytes, verified_at = excluded.verified_at
         returning ${columns}`,
        [randomUUID(), objectKey, bytes, verified],
      ),
    list: () => database.many(snapshotRow, `select ${columns} from etcd_snapshots order by taken_at desc, id`),
    remove: async (id) => void (await database.run(`delete from etcd_snapshots where id = $1`, [id])),
  }
}
