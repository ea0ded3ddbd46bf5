/** The one question that is asked of every member's PostgreSQL several times a second, and what its failure says. */
import { z } from 'zod'
import type { PostgresConnection, Statement } from '../clients/postgres.ts'
import { codeOf } from '../clients/unreachable.ts'
import { HoldfastError, isHoldfastError } from '../domain/errors.ts'
import type { MemberSaid } from './evidence.ts'
import type { Reply } from './silence.ts'

const pulseSchema = z.object({ inRecovery: z.boolean(), heardMs: z.number().nullable(), repliesMs: z.record(z.string(), z.number().nullable()) })

/** From memory of the server alone: no table, no file, no lock. */
const pulse: Statement<z.infer<typeof pulseSchema>> = {
  name: 'holdfast_pulse',
  row: pulseSchema,
  text: `
    select pg_is_in_recovery() as "inRecovery",
           (select round(extract(epoch from clock_timestamp() - last_msg_receipt_time) * 1000)::float8 from pg_stat_wal_receiver) as "heardMs",
           (select coalesce(json_object_agg(application_name, round(extract(epoch from clock_timestamp() - reply_time) * 1000)), '{}')
            from pg_stat_replication where state = 'streaming') as "repliesMs"`,
}

export async function takePulse(connection: PostgresConnection, signal: AbortSignal): Promise<Omit<MemberSaid, 'agoMs'>> {
  const [row] = await connection.query(pulse, [], signal)
  if (row === undefined) throw new HoldfastError('Internal', 'PostgreSQL answered a query for one row with none')
  // of a standby that has not replied yet there is no time
  const replies = Object.entries(row.repliesMs).flatMap(([name, ms]) => (ms === null ? [] : [[name, Math.max(0, ms)] as const]))
  return { inRecovery: row.inRecovery, heardMs: row.heardMs === null ? null : Math.max(0, row.heardMs), repliesMs: Object.fromEntries(replies) }
}

/** Nothing came back. Everything else is the sign of a living host. */
const nothingCameBack: ReadonlySet<string> = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EHOSTDOWN', 'ABORT_ERR'])
const sqlState = /^[0-9A-Z]{5}$/

/** An error of PostgreSQL itself, or a refused certificate, is an answer; a refused or broken connection is not one, but a sign of life. */
export function replyIn(error: unknown): Reply {
  if (isOverdue(error)) return 'silent'
  if (!isHoldfastError(error) || error.code !== 'MemberUnreachable') return 'answers'
  const { cause } = error
  const code = codeOf(cause)
  if (isOverdue(cause)) return 'silent'
  if (code !== undefined && nothingCameBack.has(code)) return 'silent'
  const isAnswer = error.facts['distrust'] === true || (code !== undefined && sqlState.test(code))
  return isAnswer ? 'answers' : 'refuses'
}

function isOverdue(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
}
