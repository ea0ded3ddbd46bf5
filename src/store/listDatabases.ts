/** Pages of databases, newest first. A cursor names the last one shown, so that pages neither repeat nor skip. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { databaseViews } from './databaseView.ts'
import type { Sql } from './sql.ts'
import type { DatabaseView, Page } from './views.ts'

export interface DatabaseFilter {
  readonly teamId?: string
  readonly projectId?: string
  /** Also those of which only the backups are left. */
  readonly includeRemoved?: boolean
  /** At most 100; 50 by default. */
  readonly limit?: number
  readonly cursor?: string
}

const usualLimit = 50
const longestPage = 100

/** Microseconds, as text: a `Date` would lose some, and with them the place in the order. */
const placeRow = z.object({ id: z.uuid(), createdAt: z.string().regex(/^\d{4}-[\d :.+TZ-]{5,40}$/) })

export async function listDatabases(sql: Sql, filter: DatabaseFilter): Promise<Page<DatabaseView>> {
  const limit = Math.min(filter.limit ?? usualLimit, longestPage)
  const after = filter.cursor === undefined ? null : parseCursor(filter.cursor)
  const places = await sql.many(
    placeRow,
    `select d.id, d.created_at::text as "createdAt"
       from databases d join projects p on p.id = d.project_id
      where ($1::uuid is null or p.team_id = $1) and ($2::uuid is null or d.project_id = $2)
        and ($3::boolean or d.removed_at is null)
        and ($4::timestamptz is null or (d.created_at, d.id) < ($4, $5::uuid))
      order by d.created_at desc, d.id desc limit $6`,
    [filter.teamId ?? null, filter.projectId ?? null, filter.includeRemoved ?? false, after?.createdAt ?? null, after?.id ?? null, limit + 1],
  )
  const shown = places.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: await databaseViews(sql, shown.map(({ id }) => id)),
    nextCursor: places.length > limit && last !== undefined ? Buffer.from(JSON.stringify(last)).toString('base64url') : null,
  }
}

function parseCursor(cursor: string): z.output<typeof placeRow> {
  try {
    return placeRow.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')))
  } catch (cause) {
    throw new HoldfastError('InvalidRequest', 'The cursor is not one that a page gave out.', { next: 'Begin again without a cursor.', cause })
  }
}
