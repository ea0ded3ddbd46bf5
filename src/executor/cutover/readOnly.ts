/**
 * A window in which reads go on: clients are led to the server that follows before the other one is stopped. PostgreSQL itself refuses
 * their writes there, until it is promoted under them. Whoever reads there sees all that was acknowledged before.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { PostgresConnection } from '../../clients/postgres.ts'
import { lsnSchema } from '../../domain/lsn.ts'

/** Newcomers are held by then. Ours stay: they are no customer's, and the move needs them. */
const customers = `backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid() and usename <> 'postgres' and usename not like 'holdfast\\_%'`
const endSessionsSql = `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where ${customers}`
const leftQuery = {
  row: z.object({ left: z.number(), lsn: lsnSchema }),
  text: `select (select count(*)::int from pg_catalog.pg_stat_activity where ${customers}) as left, pg_catalog.pg_current_wal_flush_lsn()::text as lsn`,
}
const replayedQuery = { row: z.object({ lsn: lsnSchema.nullable() }), text: 'select pg_catalog.pg_last_wal_replay_lsn()::text as lsn' }
const pollMs = 3
/** One that does not end by then ends with the server. */
const looks = 30

/** `lead`: to the server that follows. Errors: those of either server when `limit` aborts. */
export async function readMeanwhile(source: PostgresConnection, follower: PostgresConnection, lead: () => Promise<void>, limit: AbortSignal): Promise<void> {
  await source.execute(endSessionsSql, [], limit)
  let [seen] = await source.query(leftQuery, [], limit)
  for (let look = 0; look < looks && seen !== undefined && seen.left > 0; look += 1) {
    await sleep(pollMs, undefined, { signal: limit });
    [seen] = await source.query(leftQuery, [], limit)
  }
  for (;;) {
    const [row] = await follower.query(replayedQuery, [], limit)
    if (row?.lsn != null && seen !== undefined && row.lsn >= seen.lsn) break
    await sleep(pollMs, undefined, { signal: limit })
  }
  await lead()
}
