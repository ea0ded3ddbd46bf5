/**
 * A customer who writes one row after the other through the endpoint, and notes when each was acknowledged. What it measures is
 * what the customer feels: the time between the last acknowledgement before an event and the first one after it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { NotYet, until } from '../waiting.ts'
import { errorCode, openSession, within, type Session } from './session.ts'

export interface Writer {
  /** For `gapSince`: this moment. */
  now(): number
  /** The longest time between two acknowledgements that follow each other, of which the later came after `moment`; ms. 0: no interruption. */
  gapSince(moment: number): number
  /** Resolves when a row was acknowledged whose statement began after `moment`. */
  acknowledgedAfter(moment: number, limitMs: number): Promise<void>
  tally(): Tally
  /** No more writes; ends within the limit of one statement. */
  stop(): Promise<void>
  /** Ids that were acknowledged and are not in the table. */
  lost(reader: pg.Client): Promise<readonly number[]>
}

export interface Tally {
  readonly acked: number
  /** Acknowledged with a warning, such as a cancelled wait for the replicas: they count neither as acknowledged nor as lost. */
  readonly warned: number
  /** By SQLSTATE or by the name of what became of the connection. */
  readonly errors: Readonly<Record<string, number>>
}

const pauseMs = 5
/** A shorter one is the machine's: a scheduler's turn, a collection of garbage, a checkpoint of the disk. */
const noticeableMs = 100
/** Longer than any failover that is promised, so that it is the endpoint that ends a wait and not this client. */
const limitMs = 12_000

export const writtenTable = 'written'

export async function startWriter(connection: pg.ClientConfig): Promise<Writer> {
  const first = await openSession(connection, limitMs)
  await within(first, limitMs, () => first.client.query(`drop table if exists ${writtenTable}; create table ${writtenTable} (id bigint primary key, at timestamptz not null default clock_timestamp())`))
  const ids: number[] = []
  const times: number[] = []
  const errors = new Map<string, number>()
  let [attempt, warned, newest, isStopped] = [0, 0, 0, false]
  let session: Session | null = first

  const write = async (): Promise<void> => {
    const id = (attempt += 1)
    const began = performance.now()
    try {
      const open = (session ??= await openSession(connection, limitMs))
      const warnings = open.warnings()
      await within(open, limitMs, () => open.client.query({ name: 'write', text: `insert into ${writtenTable} (id) values ($1)`, values: [id] }))
      if (open.warnings() > warnings) {
        warned += 1
        return
      }
      ids.push(id)
      times.push(performance.now())
      newest = began
    } catch (error) {
      // not acknowledged: it may be there or not, and nobody counts on it
      const code = errorCode(error)
      errors.set(code, (errors.get(code) ?? 0) + 1)
      session?.leave()
      session = null
    }
  }
  const running = (async (): Promise<void> => {
    while (!isStopped) {
      await write()
      await sleep(pauseMs)
    }
    session?.leave()
  })()

  return {
    now: () => performance.now(),
    gapSince: (moment) => longestGap(times, moment, performance.now()),
    acknowledgedAfter: (moment, waitMs) => until('a row to be acknowledged', async () =>
      (newest > moment ? undefined : new NotYet(`${ids.length} rows so far, ${JSON.stringify(Object.fromEntries(errors))}`)), { limitMs: waitMs, everyMs: 5 }),
    tally: () => ({ acked: ids.length, warned, errors: Object.fromEntries(errors) }),
    async stop() {
      isStopped = true
      await running
    },
    async lost(reader) {
      const expected = [...ids]
      const { rows } = await reader.query<[string]>({ text: `select id from ${writtenTable}`, rowMode: 'array' })
      const there = new Set(rows.map(([id]) => Number(id)))
      return expected.filter((id) => !there.has(id))
    },
  }
}

/** `times`: of acknowledgements, rising. One that still lasts at `now` counts as well. */
export function longestGap(times: readonly number[], moment: number, now: number): number {
  const longest = longestTime(times, moment, now)
  return longest < noticeableMs ? 0 : longest
}

/** As `longestGap`, however short. */
export function longestTime(times: readonly number[], moment: number, now: number): number {
  let longest = 0
  for (let index = times.length; index > 0; index -= 1) {
    const [earlier, later] = [times[index - 1] ?? now, times[index] ?? now]
    if (later < moment) break
    longest = Math.max(longest, later - earlier)
  }
  return longest
}
