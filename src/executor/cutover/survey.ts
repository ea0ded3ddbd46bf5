/** What the serving server, or the leader of the serving cluster, says of itself before an upgrade or a downgrade: what the other could not take over, and what would be in the way. */
import { z } from 'zod'
import type { Action } from '../../domain/action.ts'
import type { Desired } from '../../domain/desired.ts'
import type { ActionResult } from '../../domain/ports.ts'
import { resourceNames } from '../../domain/names.ts'
import { withPostgres, type PostgresTools } from '../postgres.ts'
import type { CutoverTools } from './places.ts'

/** Enough to know what to look for. */
const longestList = 5

/** What its image has to have: a standalone is fenced, a cluster is copied. */
const programs = { standalone: '/usr/libexec/holdfast/set-fence', cluster: '/usr/libexec/holdfast/copy-server' } as const
const execMs = 10_000

export async function surveySource(
  { engines, installation, postgres }: Pick<CutoverTools, 'engines' | 'installation'> & { readonly postgres: PostgresTools },
  { operationId, memberId, again }: Extract<Action, { readonly kind: 'surveySource' }>, desired: Desired, signal: AbortSignal,
): Promise<ActionResult> {
  const instance = desired.instances.find(({ members }) => members.some(({ id }) => id === memberId))
  const member = instance?.members.find(({ id }) => id === memberId)
  if (instance === undefined || member === undefined) throw new Error(`member ${memberId} is not among the members of database ${desired.database.id}`)
  const { exitCode } = await engines(member.hostId).exec(resourceNames(installation).member(memberId), ['test', '-x', programs[instance.kind]], { timeoutMs: execMs }, signal)
  let survey: Readonly<Record<string, unknown>> = {}
  await withPostgres(postgres, memberId, desired, desired.database.databaseName, signal, async (connection) => {
    const [row] = await connection.query(surveyStatement, [longestList], signal)
    if (row !== undefined) survey = row
  })
  return { records: [{ kind: 'operationNoted', operationId, notes: { survey: { ...survey, canBeFenced: exitCode === 0 }, ...(again && { surveyedAgain: true }) } }] }
}

const names = z.array(z.string())

/** In the customer's database; slots, prepared transactions and subscriptions are seen from everywhere. */
const surveyStatement = {
  row: z.object({
    serverVersion: z.number(), longestTransactionSeconds: z.number(), preparedTransactions: z.number(),
    logicalSlots: names, subscriptions: names, unloggedTables: names, missingExtensions: names,
  }),
  text: `
    select pg_catalog.current_setting('server_version_num')::int as "serverVersion",
           coalesce((select extract(epoch from max(pg_catalog.clock_timestamp() - xact_start)) from pg_catalog.pg_stat_activity where backend_type = 'client backend'), 0)::float8 as "longestTransactionSeconds",
           (select count(*)::int from pg_catalog.pg_prepared_xacts) as "preparedTransactions",
           array(select slot_name::text from pg_catalog.pg_replication_slots where slot_type = 'logical' order by 1 limit $1) as "logicalSlots",
           array(select subname::text from pg_catalog.pg_subscription order by 1 limit $1) as subscriptions,
           array(select n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                  where c.relpersistence = 'u' and c.relkind in ('r', 'm') order by 1 limit $1) as "unloggedTables",
           array(select extname::text from pg_catalog.pg_extension where extname not in (select name from pg_catalog.pg_available_extensions) order by 1 limit $1) as "missingExtensions"`,
}
