/**
 * One observer a member, which writes to it directly and all the time, whether it leads or not: what it acknowledges shows who
 * took writes when. A replica refuses, a dead one refuses the connection, a fenced leader says nothing; none of these counts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { z } from 'zod'
import type { ServerPlace } from './members.ts'
import { directTo, openSession, within, type Session } from './session.ts'
import type { Site } from './site.ts'
import type { Commit } from './twoWriters.ts'

export interface Observers {
  readonly commits: readonly Commit[]
  stop(): Promise<void>
  /** Of what observers were acknowledged, how much is not there. */
  lost(reader: pg.Client): Promise<number>
}

const pauseMs = 20
const refusedPauseMs = 50
/** A fenced leader never answers; whoever waits for it would not see its next word. */
const limitMs = 2_000
const table = 'observed'

const rowSchema = z.tuple([z.object({ started: z.number(), timeline: z.number() })])
/** The position names the timeline, also in the first moments after a promotion. */
const statement = `
  insert into public.${table} (member, seq) values ($1, $2)
  returning extract(epoch from clock_timestamp())::float8 * 1000 as started, ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`

/** `owner`: a session of the customer, who owns the table. */
export async function startObservers(site: Site, places: readonly ServerPlace[], owner: pg.Client): Promise<Observers> {
  await owner.query(`drop table if exists ${table}; create table ${table} (member text, seq bigint, primary key (member, seq))`)
  const database = owner.database ?? 'postgres'
  const commits: Commit[] = []
  const acknowledged: string[] = []
  const stopping = new AbortController()
  const running = places.map((place) => observe({ site, place, database, isStopped: () => stopping.signal.aborted, onCommit: (seq, commit) => {
    commits.push(commit)
    acknowledged.push(`${place.name}/${seq}`)
  } }))
  return {
    commits,
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
    async lost(reader) {
      const expected = [...acknowledged]
      const { rows } = await reader.query<[string]>({ text: `select member || '/' || seq from ${table}`, rowMode: 'array' })
      const there = new Set(rows.map(([name]) => name))
      return expected.filter((name) => !there.has(name)).length
    },
  }
}

interface Watch {
  readonly site: Site
  readonly place: ServerPlace
  readonly database: string
  readonly isStopped: () => boolean
  readonly onCommit: (seq: number, commit: Commit) => void
}

async function observe({ site, place, database, isStopped, onCommit }: Watch): Promise<void> {
  let session: Session | null = null
  let seq = 0
  while (!isStopped()) {
    const mine = (seq += 1)
    try {
      const open: Session = (session ??= await openSession(directTo(site, place, database), limitMs))
      const warnings = open.warnings()
      const { rows } = await within(open, limitMs, () => open.client.query({ name: 'observe', text: statement, values: [place.name, mine] }))
      const [{ started, timeline }] = rowSchema.parse(rows)
      if (open.warnings() === warnings) onCommit(mine, { memberId: place.memberId, timeline, startedAt: started })
      await sleep(pauseMs)
    } catch (error) {
      // 25006: it follows; the session stays good and sees the promotion at once
      if (!(error instanceof Error && 'code' in error && error.code === '25006')) {
        session?.leave()
        session = null
      }
      await sleep(refusedPauseMs)
    }
  }
  session?.leave()
}
