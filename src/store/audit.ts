/** The audit log: who asked for what, and when. It is only ever added to. */
import { z } from 'zod'
import { writeAudit, type AuditEntry } from './actor.ts'
import { facts, time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { AuditView } from './views.ts'

export interface AuditStore {
  append(entry: AuditEntry): Promise<void>
  /** Newest first, at most 500, 100 by default. */
  list(filter: { readonly teamId?: string; readonly beforeId?: number; readonly limit?: number }): Promise<readonly AuditView[]>
}

const usualLimit = 100
const longestList = 500

const auditRow: z.ZodType<AuditView> = z.object({
  id: z.number(), at: time, tokenId: z.string().nullable(), teamId: z.string().nullable(),
  action: z.string(), target: z.string().nullable(), requestId: z.string(), facts,
})

export function auditStore(database: ControlDatabase): AuditStore {
  return {
    append: (entry) => database.transaction((sql) => writeAudit(sql, entry)),
    list: ({ teamId, beforeId, limit = usualLimit }) =>
      database.many(
        auditRow,
        `select id, at, token_id as "tokenId", team_id as "teamId", action, target, request_id as "requestId", facts
           from audit_log
          where ($1::uuid is null or team_id = $1) and ($2::bigint is null or id < $2)
          order by id desc limit $3`,
        [teamId ?? null, beforeId ?? null, Math.min(limit, longestList)],
      ),
  }
}
