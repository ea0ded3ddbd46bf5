/**
 * A server that archives goes to another WAL file when it is shut down, and what is left of the present one is sent, as zeros, to whoever
 * follows it, and written there: up to 16 MiB that clients would wait for (ShutdownXLOG and RequestXLogSwitch in PostgreSQL's xlog.c). So
 * the file is filled shortly before, while nobody waits. The archive gets the same files either way.
 */
import { z } from 'zod'
import { lsnSchema, type Lsn } from '../../domain/lsn.ts'
import type { PostgresConnection } from '../postgres.ts'

const placeQuery = {
  row: z.object({ lsn: lsnSchema, segmentBytes: z.number(), restBytes: z.number() }),
  text: `select lsn::text, size::float8 as "segmentBytes", (size - (lsn - '0/0'::pg_catalog.pg_lsn)::bigint % size)::float8 as "restBytes"
           from (select pg_catalog.pg_current_wal_insert_lsn() as lsn, pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) as size) as here`,
}
export type WalPlace = z.output<typeof placeQuery.row>

/** A message for logical decoding, which nobody reads: WAL of a given size that changes nothing. */
const fillQuery = {
  row: z.object({ lsn: lsnSchema }),
  text: `select pg_catalog.pg_logical_emit_message(false, 'holdfast', pg_catalog.repeat(' ', $1::integer), true)::text as lsn`,
}

const leastRestBytes = 256 * 1024

/** What is written within `aheadMs` still fits into the file, at the rate at which it was written so far; `overMs`: since `before`. */
export function fillingBytes(before: WalPlace, now: WalPlace, overMs: number, aheadMs: number): number {
  const perMs = Number(now.lsn - before.lsn) / Math.max(1, overMs)
  const keep = Math.min(leastRestBytes + perMs * aheadMs, now.segmentBytes / 2)
  // it would be full before the stop: then the next one is the one to fill
  return Math.floor(now.restBytes > keep ? now.restBytes - keep : now.restBytes + now.segmentBytes - keep)
}

export interface WatchedWal {
  /** Fills the file, but for what is written within `aheadMs` at the rate since it is watched. Gives where that ends. */
  fill(aheadMs: number, limit: AbortSignal): Promise<Lsn>
}

/** Of a server that takes writes. */
export async function watchWal(server: PostgresConnection, limit: AbortSignal): Promise<WatchedWal> {
  const [before, since] = [await placeOf(server, limit), performance.now()]
  return {
    async fill(aheadMs, signal) {
      const bytes = fillingBytes(before, await placeOf(server, signal), performance.now() - since, aheadMs)
      const [filled] = await server.query(fillQuery, [bytes], signal)
      if (filled === undefined) throw new Error('a server did not say where its WAL is')
      return filled.lsn
    },
  }
}

async function placeOf(server: PostgresConnection, limit: AbortSignal): Promise<WalPlace> {
  const [row] = await server.query(placeQuery, [], limit)
  if (row === undefined) throw new Error('a server did not say where its WAL is')
  return row
}
