/** Clients that append to lists and read them through the endpoint, and keep what they saw for `anomaliesOf`. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { z } from 'zod'
import { anomaliesOf, type Anomaly, type Step } from './anomalies.ts'
import { openSession, within, type Session } from './session.ts'

export interface History {
  stop(): Promise<void>
  steps(): number
  anomalies(reader: pg.Client): Promise<readonly Anomaly[]>
}

const clients = 2
const pauseMs = 15
const failedPauseMs = 50
const limitMs = 12_000
/** A list is read whole each time, so it must not grow for ever. */
const mostPerList = 100
const table = 'lists'

const listSchema = z.array(z.object({ id: z.coerce.number(), content: z.array(z.coerce.number()) }))

export async function startHistory(connection: pg.ClientConfig): Promise<History> {
  const first = await openSession(connection, limitMs)
  await within(first, limitMs, () => first.client.query(`drop table if exists ${table}; create table ${table} (id bigint primary key, content bigint[] not null)`))
  first.leave()
  const steps: Step[] = []
  const next = counter()
  const stopping = new AbortController()
  const running = Array.from({ length: clients }, (_, index) => work({ connection, steps, next, readsToo: index === 0, isStopped: () => stopping.signal.aborted }))
  return {
    steps: () => steps.length,
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
    async anomalies(reader) {
      const { rows } = await reader.query(`select id, content from ${table}`)
      return anomaliesOf(steps, new Map(listSchema.parse(rows).map(({ id, content }) => [id, content])))
    },
  }
}

function counter(): () => number {
  let value = 0
  return () => (value += 1)
}

interface Work {
  readonly connection: pg.ClientConfig
  readonly steps: Step[]
  readonly next: () => number
  readonly readsToo: boolean
  readonly isStopped: () => boolean
}

async function work({ connection, steps, next, readsToo, isStopped }: Work): Promise<void> {
  let session: Session | null = null
  for (let turn = 0; !isStopped(); turn += 1) {
    const value = next()
    const list = Math.floor(value / mostPerList)
    const start = performance.now()
    try {
      const open: Session = (session ??= await openSession(connection, limitMs))
      if (readsToo && turn % 3 === 2) {
        const { rows } = await within(open, limitMs, () => open.client.query(`select id, content from ${table} where id = $1`, [list]))
        steps.push({ kind: 'read', list, values: listSchema.parse(rows)[0]?.content ?? [], start, end: performance.now() })
      } else steps.push(await append(open, list, value, start))
      await sleep(pauseMs)
    } catch {
      steps.push({ kind: 'append', list, value, start, end: null })
      session?.leave()
      session = null
      await sleep(failedPauseMs)
    }
  }
  session?.leave()
}

/** An answer that came with a warning promises nothing: a wait for the replicas that was cut short. */
async function append(session: Session, list: number, value: number, start: number): Promise<Step> {
  const warnings = session.warnings()
  await within(session, limitMs, () => session.client.query(
    `insert into ${table} (id, content) values ($1, array[$2::bigint]) on conflict (id) do update set content = ${table}.content || excluded.content`, [list, value]))
  return { kind: 'append', list, value, start, end: session.warnings() === warnings ? performance.now() : null }
}
