/** The end of a pass: the lease is given back with what was observed. */
import { z } from 'zod'
import type { Condition } from '../domain/conditions.ts'
import { leaseLost, type Lease } from './lease.ts'
import type { Sql } from './sql.ts'
import type { Failure, MemberStatus } from './views.ts'

export interface Release {
  /** Look again then; a wake that came during the pass makes it due at once. */
  readonly dueInMs: number
  /** Given when nothing is left to do for this generation. */
  readonly settledGeneration?: number
  /** All conditions, merged. Left out: they stay as they are. */
  readonly conditions?: readonly Condition[]
  /** By member id: what was seen, for the API. */
  readonly members?: ReadonlyMap<string, MemberStatus>
  readonly error?: Failure
}

const releasedRow = z.object({ released: z.number(), exists: z.boolean() })

/** One statement, because it ends every pass: lease, what was observed, and conditions that changed. */
const releaseStatement = `
  with released as (
    update work_items
       set lease_holder = null, lease_until = null, last_pass_at = now(), last_error = $7,
           due_at = case when wake_seq > $4 then now() else now() + make_interval(secs => $5 / 1000.0) end,
           settled_seq = case when $6::bigint is null then settled_seq else greatest(settled_seq, $4) end,
           attempts = case when $7::jsonb is null then 0 else attempts end
     where database_id = $1 and lease_epoch = $2 and lease_holder = $3
    returning database_id),
  spec as (
    update databases d
       set observed_generation = greatest(observed_generation, coalesce($6, 0)), conditions = coalesce($8::jsonb, conditions)
      from released r
     where d.id = r.database_id and (observed_generation < $6 or conditions is distinct from coalesce($8::jsonb, conditions))),
  seen as (
    update members m set status = s.value
      from released r, instances i, jsonb_each($9::jsonb) s
     where i.database_id = r.database_id and m.instance_id = i.id and m.id = s.key::uuid and m.status is distinct from s.value)
  select (select count(*) from released)::int as released, exists (select from work_items where database_id = $1) as exists`

export async function releaseLease(database: Sql, lease: Lease, release: Release): Promise<void> {
  const { dueInMs, settledGeneration, conditions, members = new Map(), error } = release
  const { released, exists } = await database.one(releasedRow, releaseStatement, [
    lease.databaseId, lease.epoch, lease.holder, lease.wakeSeq, dueInMs, settledGeneration ?? null,
    error === undefined ? null : JSON.stringify(error), conditions === undefined ? null : JSON.stringify(conditions),
    JSON.stringify(Object.fromEntries(members)),
  ])
  if (released === 0 && exists) throw leaseLost(lease)
}
