/** Who asked. Every change through the API is entered in the audit log, in the transaction that makes it. */
import type { Sql } from './sql.ts'

export interface Actor {
  /** Null where the controller itself, or the command line on its machine, acts. */
  readonly tokenId: string | null
  /** For `requestedBy` of operations. */
  readonly name: string
  readonly requestId: string
}

export interface AuditEntry {
  readonly actor: Actor
  readonly teamId: string | null
  /** `noun.verb`, such as `database.create`. */
  readonly action: string
  /** The id of what it was done to. */
  readonly target: string | null
  /** Safe to show: never a secret. */
  readonly facts?: Readonly<Record<string, unknown>>
}

export async function writeAudit(sql: Sql, { actor, teamId, action, target, facts }: AuditEntry): Promise<void> {
  await sql.run(
    `insert into audit_log (token_id, team_id, action, target, request_id, facts) values ($1, $2, $3, $4, $5, $6)`,
    [actor.tokenId, teamId, action, target, actor.requestId, JSON.stringify({ actor: actor.name, ...facts })],
  )
}
