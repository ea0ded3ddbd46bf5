/**
 * A customer's programs beside a database while something happens to it: how long they could neither write nor read, and whether
 * everything that was ever acknowledged to them is there.
 */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { connectionTo, until, withClient, type DemoContext, type Gap, type Port } from './demoContext.ts'
import { startWorker, type Worked, type Worker } from './demoWriter.ts'

export interface Happening {
  /** As in the answer's gaps. */
  readonly event: string
  /** Where its programs write; one reads on the read-only port. */
  readonly writeTo: readonly Exclude<Port, 'ro'>[]
  /** How long each of them waits for an answer before it connects anew. */
  readonly patienceMs: number
  readonly happen: () => Promise<void>
}

/** What they saw; also noted among the gaps. `pooledErrors`: of writers on the pooled port. */
export interface Seen extends Gap {
  readonly pooledErrors: readonly string[]
}

type Client = { readonly port: Port } & Worker

/** Answers of each program before it happens, and afterwards. */
const answersAround = 100

/** Errors: when an acknowledged row is missing, and what `happen` throws. */
export async function underClients(context: DemoContext, id: string, { event, writeTo, patienceMs, happen }: Happening): Promise<Seen> {
  await withClient(context, id, 'rw', (connection) => connection.query('create table if not exists written (id uuid primary key)'))
  const acknowledged = acknowledgedTo(context, id)
  const before = acknowledged.length
  const clients = (['ro', ...writeTo] as const).map((port) => startClient(context, id, port, patienceMs, acknowledged))
  let worked: readonly (Worked & { readonly port: Port })[]
  try {
    await answered(clients)
    await happen()
    await answered(clients)
  } finally {
    worked = await Promise.all(clients.map(async (client) => ({ port: client.port, ...await client.stop() })))
  }
  const [read, written] = [worked.filter(({ port }) => port === 'ro'), worked.filter(({ port }) => port !== 'ro')]
  const lost = await missing(context, id, acknowledged)
  const gap = { event, writeGapMs: longestGap(written), readGapMs: longestGap(read), acked: acknowledged.length - before, lost }
  context.gaps.push(gap)
  if (lost > 0) throw new Error(`${lost} acknowledged rows are missing`)
  return { ...gap, pooledErrors: written.flatMap(({ port, errors }) => (port === 'pooled' ? [...errors] : [])) }
}

/** Of the whole story: what was acknowledged before one event has to be there after the next. */
function acknowledgedTo({ acknowledged }: DemoContext, id: string): string[] {
  const rows = acknowledged.get(id) ?? []
  acknowledged.set(id, rows)
  return rows
}

function startClient(context: DemoContext, id: string, port: Port, patienceMs: number, acknowledged: string[]): Client {
  const worker = startWorker(connectionTo(context, id, port), patienceMs, async (connection) => {
    if (port === 'ro') await connection.query('select 1')
    else await write(connection, acknowledged)
  })
  return { port, ...worker }
}

async function write(connection: pg.Client, acknowledged: string[]): Promise<void> {
  const row = randomUUID()
  await connection.query('insert into written values ($1)', [row])
  acknowledged.push(row)
}

async function answered(clients: readonly Client[]): Promise<void> {
  const before = new Map(clients.map((client) => [client, client.count()]))
  await until('every client to be served', async () => ([...before].every(([client, count]) => client.count() >= count + answersAround) ? true : null), 20)
}

function longestGap(worked: readonly Worked[]): number {
  return Math.max(0, ...worked.map(({ gapMs }) => gapMs))
}

async function missing(context: DemoContext, id: string, acknowledged: readonly string[]): Promise<number> {
  const { rows } = await withClient(context, id, 'rw', (connection) =>
    connection.query<{ lost: number }>('select count(*)::int as lost from unnest($1::uuid[]) as acked(id) where not exists (select from written w where w.id = acked.id)', [acknowledged]))
  return rows[0]?.lost ?? acknowledged.length
}
