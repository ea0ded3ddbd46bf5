/** The single steps of a planned move: each asks one thing of one member. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { connectPostgres, type PostgresConnection } from '../clients/postgres.ts'
import { watchWal } from '../clients/postgres/walSegment.ts'
import { describeError } from '../domain/errors.ts'
import { formatLsn, lsnSchema, parseLsn, type Lsn } from '../domain/lsn.ts'
import type { WatchedCluster, WatchedMember } from './cluster.ts'
import type { GuardEngine, GuardWorld } from './ports.ts'

/** PostgreSQL writes no more, and this is where its WAL ends: the beginning of the shutdown checkpoint. */
export type Left = { readonly ok: true; readonly lsn: Lsn; readonly lsnText: string } | { readonly ok: false; readonly reason: string }

/** While clients go on: the checkpoint of the stop itself has little left to write then. */
const checkpointMs = 60_000
const askMs = 1_000
/** For PostgreSQL to stop; after that it goes on. */
const leaveSeconds = 20
const execGraceMs = 5_000
const pollMs = 15
/** From when the WAL file is filled to the stop: the pool is paused in between, and a command begun in the container. */
const toStopMs = 1_000

const behindQuery = {
  row: z.object({ behind: z.number() }),
  text: `select count(*)::integer as behind from pg_stat_replication where state = 'streaming' and application_name = any($2) and flush_lsn < $1::pg_lsn`,
}
const leftSchema = z.object({ holdfast: z.literal('left'), lsn: z.string() })

/** Freezes Patroni, stops PostgreSQL fast: `templates/images/postgres`, `leave`. If it fails, Patroni goes on by itself. */
export async function leave(engine: GuardEngine, container: string, signal: AbortSignal): Promise<Left> {
  try {
    const argv = ['/usr/libexec/holdfast/leave', String(leaveSeconds)]
    const { exitCode, stdout, stderr } = await engine.exec(container, argv, { timeoutMs: leaveSeconds * 1_000 + execGraceMs }, signal)
    const line = stdout.trim().split('\n').at(-1) ?? ''
    if (exitCode !== 0) return { ok: false, reason: `it did not leave (${exitCode}): ${line}${stderr}`.slice(0, 400) }
    const { lsn } = leftSchema.parse(JSON.parse(line))
    return { ok: true, lsn: parseLsn(lsn), lsnText: lsn }
  } catch (error) {
    return { ok: false, reason: describeError(error) }
  }
}

/** Lets a frozen Patroni go on: it starts PostgreSQL again or hands over by itself. Never rejects: it may go on already. */
export async function comeBack(engine: GuardEngine, container: string): Promise<void> {
  const limit = AbortSignal.timeout(execGraceMs)
  await engine.exec(container, ['s6-svc', '-c', '/run/service/patroni'], { timeoutMs: execGraceMs }, limit).catch(() => undefined)
}

/** A checkpoint, and the present WAL file filled: the stop has little left to write then, and little to send. */
export function prepareStop(world: GuardWorld, cluster: WatchedCluster, leader: WatchedMember, signal: AbortSignal): Promise<void> {
  return withSession(world, cluster, leader, checkpointMs, signal, async (session) => {
    const wal = await watchWal(session, signal)
    await session.execute('checkpoint', [], signal)
    const filled = await wal.fill(toStopMs, signal)
    await isFlushed(session, cluster.members.map(({ name }) => name), filled, AbortSignal.any([signal, AbortSignal.timeout(askMs)]))
  })
}

/** By every replica that streams, or `limit` aborts: one that is slow only has clients wait for longer. Others, as the backup agent, tell it late. */
async function isFlushed(session: PostgresConnection, members: readonly string[], lsn: Lsn, limit: AbortSignal): Promise<void> {
  while (!limit.aborted) {
    const [row] = await session.query(behindQuery, [formatLsn(lsn), members], limit).catch(() => [])
    if (row?.behind === 0) return
    await sleep(pollMs, undefined, { signal: limit }).catch(() => undefined)
  }
}

/** Bytes that the standby has not flushed; null when it does not stream. */
export function lagsBy(world: GuardWorld, cluster: WatchedCluster, leader: WatchedMember, standby: string, signal: AbortSignal): Promise<number | null> {
  return withSession(world, cluster, leader, askMs, signal, async (session) => {
    const [row] = await session.query({
      row: z.object({ lag: z.number().nullable() }),
      text: `select max(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn))::float8 as lag from pg_stat_replication where state = 'streaming' and application_name = $1`,
    }, [standby], signal)
    return row?.lag ?? null
  })
}

const receivedQuery = { row: z.object({ lsn: lsnSchema.nullable() }), text: 'select pg_last_wal_receive_lsn()::text as lsn' }

/** Whether its WAL receiver has flushed more than `lsn`, before `signal` aborts; also after that receiver has ended. */
export async function hasReceived(world: GuardWorld, cluster: WatchedCluster, member: WatchedMember, lsn: Lsn, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    const seen = await withSession(world, cluster, member, askMs, signal, async (session) => {
      for (;;) {
        const [row] = await session.query(receivedQuery, [], signal)
        if (row?.lsn != null && row.lsn > lsn) return true
        await sleep(pollMs, undefined, { signal })
      }
    }).catch(() => false)
    if (seen) return true
    await sleep(pollMs, undefined, { signal }).catch(() => undefined)
  }
  return false
}

async function withSession<T>(
  { identity }: GuardWorld, { trustBundlePem }: WatchedCluster, { address, ports, serverName }: WatchedMember, limitMs: number, signal: AbortSignal,
  work: (session: PostgresConnection) => Promise<T>,
): Promise<T> {
  const { certificatePem, keyPem } = identity()
  const session = await connectPostgres({
    host: address, port: ports.postgres, serverName, ca: trustBundlePem, cert: certificatePem, key: keyPem, user: 'postgres', database: 'postgres',
    applicationName: 'holdfast guard', connectTimeoutMs: askMs, statementTimeoutMs: limitMs,
  }, signal)
  try {
    return await work(session)
  } finally {
    session.close()
  }
}
