/** What a member's PostgreSQL tells about itself: one statement, one row, parsed. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import { lsnSchema } from '../../domain/lsn.ts'
import type { PostgresSeen } from '../../domain/observed.ts'
import type { PostgresConnection, Statement } from '../postgres.ts'

/** What PostgreSQL says of itself, in one round trip. The connection has to be a superuser's, to the database `postgres`. */
export async function readPostgres(connection: PostgresConnection, signal?: AbortSignal): Promise<PostgresSeen> {
  const [row] = await connection.query(selfReport, [], signal)
  if (row === undefined) throw new HoldfastError('Internal', 'PostgreSQL answered a query for one row with none')
  return row.report
}

const storageSchema = z.string().nullable().transform(parseStorage)

const reportSchema = z
  .object({
    inRecovery: z.boolean(),
    systemIdentifier: z.string(),
    timeline: z.number(),
    receivedTimeline: z.number().nullable(),
    lsn: lsnSchema,
    configHash: z.string(),
    walSenders: z.array(z.object({
      applicationName: z.string(), state: z.string(), syncState: z.string(), flushLsn: lsnSchema.nullable(), replayLsn: lsnSchema.nullable(), copiedBytes: z.number().nullable(),
    })),
    synchronousStandbyNames: z.string(),
    slots: z.array(z.object({ name: z.string(), active: z.boolean(), walStatus: z.string(), retainedBytes: z.number() })),
    databases: z.array(z.string()),
    roles: z.array(z.object({ name: z.string(), verifier: z.string().nullable(), canLogin: z.boolean(), sessions: z.number() })),
    storage: storageSchema,
    databaseBytes: z.number(),
    defaultReadOnly: z.boolean(),
    preparedVersion: z.string().nullable(),
  })
  .transform((report): PostgresSeen => report)

/**
 * One row, one JSON value. Notes on what is not obvious in it:
 * the timeline of a primary is in the name of the file it writes, because the control file has the last checkpoint's only;
 * `wal_status` is null as long as a slot has never been used, which is no reason for an alarm;
 * `/data/storage` is written by the member's own service and may not be there yet.
 */
const selfReport: Statement<{ report: PostgresSeen }> = {
  name: 'holdfast_self_report',
  row: z.object({ report: reportSchema }),
  text: `
    with here as (
      select recovering,
             case when recovering
                  then coalesce(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn(), '0/0')
                  else pg_current_wal_lsn() end as lsn
      from pg_is_in_recovery() as recovering
    ), sessions as (
      select usesysid, count(*) as open from pg_stat_activity where usesysid is not null group by usesysid
    )
    select json_build_object(
      'inRecovery', recovering,
      'systemIdentifier', (select system_identifier::text from pg_control_system()),
      'timeline', case when recovering
                       then (select greatest(c.timeline_id, r.min_recovery_end_timeline)
                             from pg_control_checkpoint() c, pg_control_recovery() r)
                       else ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::integer end,
      'receivedTimeline', (select received_tli from pg_stat_wal_receiver where recovering and status = 'streaming'),
      'lsn', lsn::text,
      'configHash', coalesce(current_setting('holdfast.config_hash', true), ''),
      'walSenders', (select coalesce(json_agg(json_build_object(
                       'applicationName', application_name, 'state', coalesce(state, ''), 'syncState', coalesce(sync_state, ''),
                       'flushLsn', flush_lsn::text, 'replayLsn', replay_lsn::text, 'copiedBytes', backup_streamed) order by application_name), '[]')
                     from pg_stat_replication left join pg_stat_progress_basebackup using (pid)),
      'synchronousStandbyNames', current_setting('synchronous_standby_names'),
      'slots', (select coalesce(json_agg(json_build_object(
                  'name', slot_name, 'active', active, 'walStatus', coalesce(wal_status, 'unused'),
                  'retainedBytes', greatest(0, coalesce(pg_wal_lsn_diff(lsn, restart_lsn), 0))) order by slot_name), '[]')
                from pg_replication_slots),
      'databases', (select coalesce(json_agg(datname order by datname), '[]') from pg_database where not datistemplate),
      'roles', (select coalesce(json_agg(json_build_object(
                  'name', rolname, 'verifier', rolpassword, 'canLogin', rolcanlogin, 'sessions', coalesce(open, 0))
                  order by rolname), '[]')
                from pg_authid left join sessions on usesysid = pg_authid.oid where rolname !~ '^pg_'),
      'storage', pg_read_file('/data/storage', 0, 200, true),
      'databaseBytes', (select coalesce(sum(pg_database_size(oid)), 0) from pg_database where not datistemplate),
      'defaultReadOnly', current_setting('default_transaction_read_only')::boolean,
      'preparedVersion', (select shobj_description(oid, 'pg_database') from pg_database where datname = 'postgres')
    ) as report
    from here`,
}

/** `total used available`, in bytes. What only root may use counts as used: PostgreSQL cannot have it. */
function parseStorage(line: string | null): PostgresSeen['storage'] {
  const numbers = /^(\d+) (\d+) (\d+)\s*$/.exec(line ?? '')
  if (numbers === null) return null
  const totalBytes = Number(numbers[1])
  return { totalBytes, usedBytes: Math.max(Number(numbers[2]), totalBytes - Number(numbers[3])) }
}
