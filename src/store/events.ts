/**
 * What happened, per team, numbered without gaps: the counter is raised in the transaction that writes the event and is
 * held until it commits. Events therefore become visible in the order of their numbers, and who has read up to a number
 * has missed nothing. Write events last in a transaction: whoever does so holds up the team's other events.
 */
import { z } from 'zod'
import type { EventNote } from '../domain/action.ts'
import { found } from './notFound.ts'
import { facts, time, type Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { EventView } from './views.ts'

export interface NewEvent extends EventNote {
  readonly databaseId?: string
  readonly operationId?: string
}

export interface EventStore {
  /** For what happens outside a pass and outside the API's writes. */
  append(teamId: string, event: NewEvent): Promise<EventView>
  /** In order; at most 500, 100 by default. */
  list(filter: { readonly teamId: string; readonly afterSeq?: number; readonly databaseId?: string; readonly limit?: number }): Promise<readonly EventView[]>
  /** Throws `NotFound`. */
  get(teamId: string, seq: number): Promise<EventView>
  /** What belongs to it, in order and with itself: of its operation, else what happened to its database at about the same time. At most 100. */
  around(event: EventView, teamId: string): Promise<readonly EventView[]>
}

const usualLimit = 100
const mostAround = 100
/** What happens to a database within this time of an event has to do with it more often than not. */
const aroundSeconds = 60
const longestList = 500

const eventRow: z.ZodType<EventView> = z.object({
  seq: z.number(),
  at: time,
  databaseId: z.string().nullable(),
  operationId: z.string().nullable(),
  severity: z.enum(['info', 'warning', 'error']),
  reason: z.string(),
  message: z.string(),
  facts,
})

const columns = `seq, at, database_id as "databaseId", operation_id as "operationId", severity, reason, message, facts`

export function eventStore(database: ControlDatabase): EventStore {
  return {
    async append(teamId, event) {
      const [written] = await database.transaction((sql) => appendEvents(sql, teamId, [event]))
      return found(written, 'team', teamId)
    },
    list: ({ teamId, afterSeq = 0, databaseId, limit = usualLimit }) =>
      database.many(
        eventRow,
        `select ${columns} from events
          where team_id = $1 and seq > $2 and ($3::uuid is null or database_id = $3)
          order by seq limit $4`,
        [teamId, afterSeq, databaseId ?? null, Math.min(limit, longestList)],
      ),
    async get(teamId, seq) {
      const event = await database.maybe(eventRow, `select ${columns} from events where team_id = $1 and seq = $2`, [teamId, seq])
      return found(event, 'event', String(seq))
    },
    around: (event, teamId) =>
      database.many(
        eventRow,
        `select ${columns} from (
           select * from events
            where team_id = $1
              and (seq = $2 or (operation_id = $4 and database_id = $3)
                   or ($4::uuid is null and database_id = $3 and abs(extract(epoch from at - $5::timestamptz)) <= $6))
            order by abs(seq - $2) limit $7) near
          order by seq`,
        [teamId, event.seq, event.databaseId, event.operationId, event.at, aroundSeconds, mostAround],
      ),
  }
}

export async function appendEvents(sql: Sql, teamId: string, events: readonly NewEvent[]): Promise<EventView[]> {
  if (events.length === 0) return []
  return sql.many(
    eventRow,
    `with counted as (
       update teams set event_seq = event_seq + json_array_length($2::json) where id = $1 returning event_seq - json_array_length($2::json) as before)
     insert into events (team_id, seq, database_id, operation_id, severity, reason, message, facts)
     select $1, counted.before + e.place, (e.note ->> 'databaseId')::uuid, (e.note ->> 'operationId')::uuid,
            e.note ->> 'severity', e.note ->> 'reason', e.note ->> 'message', coalesce(e.note -> 'facts', '{}')
       from counted, json_array_elements($2::json) with ordinality e (note, place)
      order by e.place
     returning ${columns}`,
    [teamId, JSON.stringify(events)],
  )
}

const teamRow = z.object({ teamId: z.string() })

/** The same for a database whose team the caller does not know. */
export async function appendDatabaseEvents(sql: Sql, databaseId: string, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return
  const { teamId } = await sql.one(
    teamRow,
    `select p.team_id as "teamId" from databases d join projects p on p.id = d.project_id where d.id = $1`,
    [databaseId],
  )
  await appendEvents(sql, teamId, events.map((event) => ({ databaseId, ...event })))
}
