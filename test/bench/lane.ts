/**
 * A client that does one thing after another over one session, and makes a new one as soon as that has ended: what a move costs it is
 * the longest time between two answers. Whoever writes keeps which rows were acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { errorCode, openSession, within, type Session } from '../harness/ha/session.ts'
import { longestTime } from '../harness/ha/writer.ts'
import { NotYet, until } from '../harness/waiting.ts'

export interface Lane {
  /** Between two answers that follow each other, of which the later came after `moment` of `performance.now()`; ms. */
  gapSince(moment: number): number
  answeredAfter(moment: number): Promise<void>
  /** By SQLSTATE or Node's code; with `connect:` in front, of connections that did not come about. */
  readonly errors: Readonly<Record<string, number>>
  stop(): Promise<void>
}

/** The rows of one table, over all moves of its database. */
export interface Ledger {
  readonly table: string
  attempts: number
  readonly acknowledged: number[]
}

const pauseMs = 5
/** Longer than an endpoint holds anybody: it is the endpoint that ends a wait, and not this client. */
const limitMs = 30_000

export async function openLedger(owner: pg.Client, table: string): Promise<Ledger> {
  await owner.query(`drop table if exists ${table}; create table ${table} (id bigint primary key)`)
  return { table, attempts: 0, acknowledged: [] }
}

/** How many of the acknowledged rows are not there. */
export async function lostOf({ table, acknowledged }: Ledger, reader: pg.Client): Promise<number> {
  const { rows } = await reader.query<[string]>({ text: `select id from ${table}`, rowMode: 'array' })
  const there = new Set(rows.map(([id]) => Number(id)))
  return acknowledged.filter((id) => !there.has(id)).length
}

export function startWriting(connection: pg.ClientConfig, ledger: Ledger): Lane {
  return startLane(connection, async (session) => {
    const id = (ledger.attempts += 1)
    const before = session.warnings()
    await session.client.query({ name: 'write', text: `insert into ${ledger.table} (id) values ($1)`, values: [id] })
    if (session.warnings() > before) throw new Warned()
    ledger.acknowledged.push(id)
  })
}

export function startReading(connection: pg.ClientConfig, { table }: Ledger): Lane {
  return startLane(connection, ({ client }) => client.query({ name: 'read', text: `select max(id) from ${table}` }))
}

/** Such as a wait for the replicas that was cut short: the row may be there, and nobody counts on it. */
class Warned extends Error {
  readonly code = 'warned'
}

function startLane(connection: pg.ClientConfig, ask: (session: Session) => Promise<unknown>): Lane {
  const answers: number[] = []
  const errors: Record<string, number> = {}
  let session: Session | null = null
  let isStopped = false
  const askOnce = async (): Promise<void> => {
    try {
      const open = (session ??= await openSession(connection, limitMs))
      await within(open, limitMs, () => ask(open))
      answers.push(performance.now())
    } catch (error) {
      const code = session === null ? `connect:${errorCode(error)}` : errorCode(error)
      errors[code] = (errors[code] ?? 0) + 1
      session?.leave()
      session = null
    }
  }
  const going = (async (): Promise<void> => {
    while (!isStopped) {
      await askOnce()
      await sleep(pauseMs)
    }
  })()
  return {
    errors,
    gapSince: (moment) => longestTime(answers, moment, performance.now()),
    answeredAfter: (moment) => until('a client to be answered', async () =>
      ((answers.at(-1) ?? 0) > moment ? undefined : new NotYet(`${answers.length} answers, ${JSON.stringify(errors)}`)), { limitMs, everyMs: 20 }),
    async stop() {
      isStopped = true
      await going
      session?.leave()
    },
  }
}
