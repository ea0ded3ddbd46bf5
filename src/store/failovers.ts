/**
 * Incidents of clusters, as the failover guard tells them. It may tell them late, because it works while this database is
 * away, and twice: an incident is one row, whatever was recorded of it stays, and each of its events is written once.
 */
import { z } from 'zod'
import type { EventNote } from '../domain/action.ts'
import type { FailoverOutcome, FailoverRecord, FailoverRecorder, StoryLine } from '../domain/failover.ts'
import { appendEvents } from './events.ts'
import { facts, json, time, type Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { FailoverView } from './views.ts'

export interface FailoverStore extends FailoverRecorder {
  /** Newest first; at most 100, 20 by default. */
  list(databaseId: string, filter?: { readonly limit?: number }): Promise<readonly FailoverView[]>
  /** What an event of this team tells of, or that brought it about; null for every other event. */
  ofEvent(teamId: string, seq: number): Promise<FailoverView | null>
  /** Everything that was concluded about its cluster at about the same time, itself included, in order; at most 20. */
  around(incident: FailoverView): Promise<readonly FailoverView[]>
}

const usualLimit = 20
const longestList = 100
/** A leader is killed, then its key is removed, then a hanging replica is fenced: one story. */
const aroundSeconds = 30
const mostAround = 20
/** Of one database: years of real incidents, and an end to a cluster that fails over all the time. */
const mostKept = 1000

const outcomeRow: z.ZodType<FailoverOutcome> = z.object({
  at: time, reason: z.string(), leaderChanged: z.boolean(), leaderId: z.string().nullable(), writeGapMs: z.number().nullable(), facts,
})
const lineRow: z.ZodType<StoryLine> = z.object({ at: time, part: z.enum(['seen', 'concluded', 'done', 'result']), text: z.string() })

const failoverRow: z.ZodType<FailoverView> = z.object({
  id: z.string(), databaseId: z.string(), instanceId: z.string(), at: time, verdict: z.string(), evidence: json,
  outcome: outcomeRow.nullable(), story: z.array(lineRow), controller: z.string(),
  eventSeq: z.number().nullable(), outcomeEventSeq: z.number().nullable(),
})

const columns = `
  v.id, v.database_id as "databaseId", v.instance_id as "instanceId", v.at, v.verdict, v.evidence, v.outcome, v.story, v.controller,
  v.event_seq as "eventSeq", v.outcome_event_seq as "outcomeEventSeq"`

/** The pass that sees another member lead tells it on its own, seconds after the verdict. */
const broughtAbout = `
  (e.reason = 'FailedOver' and v.outcome ->> 'leaderChanged' = 'true' and v.at between e.at - interval '2 minutes' and e.at + interval '10 seconds')`

export function failoverStore(database: ControlDatabase): FailoverStore {
  return {
    record: (incident) => database.transaction((sql) => record(sql, incident)),
    list: (databaseId, { limit = usualLimit } = {}) =>
      database.many(failoverRow, `select ${columns} from failover_verdicts v where v.database_id = $1 order by v.at desc, v.id limit $2`, [
        databaseId, Math.min(limit, longestList),
      ]),
    async ofEvent(teamId, seq) {
      const told = await database.maybe(
        failoverRow,
        `select ${columns} from events e join failover_verdicts v on v.database_id = e.database_id
          where e.team_id = $1 and e.seq = $2 and (v.id::text = e.facts ->> 'verdictId' or ${broughtAbout})
          order by coalesce(v.id::text = e.facts ->> 'verdictId', false) desc, v.at desc, v.id limit 1`,
        [teamId, seq],
      )
      return told ?? null
    },
    around: ({ instanceId, at }) =>
      database.many(
        failoverRow,
        `select ${columns} from failover_verdicts v
          where v.instance_id = $1 and abs(extract(epoch from v.at - $2::timestamptz)) <= $3 order by v.at, v.id limit $4`,
        [instanceId, at, aroundSeconds, mostAround],
      ),
  }
}

async function record(sql: Sql, incident: FailoverRecord): Promise<void> {
  const { id, databaseId, outcome, story, notes } = incident
  const isNew = await insertVerdict(sql, incident)
  const hasEnded = outcome !== null && (await sql.run(
    `update failover_verdicts set outcome = $2, story = $3 where id = $1 and outcome is null`,
    [id, JSON.stringify(outcome), JSON.stringify(story)],
  )) > 0
  if (isNew) await forgetOldest(sql, databaseId)
  // the team's counter last: it holds up its other events
  if (isNew) await tell(sql, incident, notes.verdict, 'event_seq')
  if (hasEnded && notes.outcome !== null) await tell(sql, incident, notes.outcome, 'outcome_event_seq')
}

async function insertVerdict(sql: Sql, { id, databaseId, instanceId, at, verdict, evidence, story, controller }: FailoverRecord): Promise<boolean> {
  const inserted = await sql.run(
    `insert into failover_verdicts (id, database_id, instance_id, at, verdict, evidence, story, controller)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing`,
    [id, databaseId, instanceId, at, verdict, JSON.stringify(evidence), JSON.stringify(story), controller],
  )
  return inserted > 0
}

async function forgetOldest(sql: Sql, databaseId: string): Promise<void> {
  await sql.run(
    `delete from failover_verdicts where id in (
       select id from failover_verdicts where database_id = $1 order by at desc, id offset $2)`,
    [databaseId, mostKept],
  )
}

const teamRow = z.object({ teamId: z.string() })

/** A database that is gone by now has nobody left to be told; the incident is kept. */
async function tell(sql: Sql, { id, databaseId }: FailoverRecord, note: EventNote, column: 'event_seq' | 'outcome_event_seq'): Promise<void> {
  const team = await sql.maybe(
    teamRow,
    `select p.team_id as "teamId" from databases d join projects p on p.id = d.project_id where d.id = $1`,
    [databaseId],
  )
  if (team === undefined) return
  const [event] = await appendEvents(sql, team.teamId, [{ ...note, databaseId, facts: { ...note.facts, verdictId: id } }])
  await sql.run(`update failover_verdicts set ${column} = $2 where id = $1`, [id, event?.seq ?? null])
}
