/** API tokens: 256 random bits, shown once, kept as a hash. Such a hash needs no salt and no slow function: nobody can guess one. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { z } from 'zod'
import { Secret } from '../domain/secret.ts'
import { writeAudit, type Actor } from './actor.ts'
import { found } from './notFound.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { TokenRole, TokenView } from './views.ts'

export interface Principal {
  readonly tokenId: string
  /** Null: the platform itself, every team. */
  readonly teamId: string | null
  readonly name: string
  readonly role: TokenRole
}

export interface NewToken {
  readonly teamId: string | null
  readonly name: string
  readonly role: TokenRole
  readonly expiresAt?: Date
  /** Only to bring a known one into a new control database. */
  readonly token?: Secret
}

export interface TokenStore {
  /** The token is shown once. Throws `NotFound` (team). */
  create(token: NewToken, actor: Actor): Promise<{ readonly view: TokenView; readonly token: Secret }>
  /** Null for an unknown, expired or revoked one. */
  verify(token: Secret): Promise<Principal | null>
  /** Null: those of the platform itself. Newest first. */
  list(teamId: string | null): Promise<readonly TokenView[]>
  /** Throws `NotFound`. Revoked again, nothing changes. */
  revoke(tokenId: string, actor: Actor): Promise<TokenView>
}

const tokenBytes = 32

const tokenRow: z.ZodType<TokenView> = z.object({
  id: z.string(), teamId: z.string().nullable(), name: z.string(), role: z.enum(['admin', 'member']),
  createdAt: time, expiresAt: time.nullable(), revokedAt: time.nullable(), lastUsedAt: time.nullable(),
})
const principalRow = z.object({
  tokenId: z.string(), teamId: z.string().nullable(), name: z.string(), role: z.enum(['admin', 'member']), isStale: z.boolean(),
})

const columns = `
  id, team_id as "teamId", name, role, created_at as "createdAt", expires_at as "expiresAt", revoked_at as "revokedAt", last_used_at as "lastUsedAt"`

export function tokenStore(database: ControlDatabase): TokenStore {
  return {
    create: (request, actor) => createToken(database, request, actor),
    async verify(token) {
      const row = await database.maybe(
        principalRow,
        `select id as "tokenId", team_id as "teamId", name, role, coalesce(last_used_at < now() - interval '1 minute', true) as "isStale"
           from api_tokens where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())`,
        [hashOf(token)],
      )
      if (row === undefined) return null
      const { isStale, ...principal } = row
      // to the minute: a write for each request would cost more than the request
      if (isStale) await database.run(`update api_tokens set last_used_at = now() where id = $1`, [row.tokenId])
      return principal
    },
    list: (teamId) => database.many(tokenRow, `select ${columns} from api_tokens where team_id is not distinct from $1 order by created_at desc, id`, [teamId]),
    revoke: (tokenId, actor) =>
      database.transaction(async (sql) => {
        const row = await sql.maybe(tokenRow, `update api_tokens set revoked_at = coalesce(revoked_at, now()) where id = $1 returning ${columns}`, [tokenId])
        const view = found(row, 'token', tokenId)
        await writeAudit(sql, { actor, teamId: view.teamId, action: 'token.revoke', target: tokenId, facts: { name: view.name } })
        return view
      }),
  }
}

async function createToken(database: ControlDatabase, request: NewToken, actor: Actor): Promise<{ view: TokenView; token: Secret }> {
  const token = request.token ?? new Secret(`hf_${randomBytes(tokenBytes).toString('base64url')}`)
  const id = randomUUID()
  const { teamId, name, role, expiresAt } = request
  const view = await database.transaction(async (sql) => {
    const created = await sql.one(
      tokenRow,
      `insert into api_tokens (id, team_id, name, role, hash, expires_at) values ($1, $2, $3, $4, $5, $6) returning ${columns}`,
      [id, teamId, name, role, hashOf(token), expiresAt ?? null],
    )
    await writeAudit(sql, { actor, teamId, action: 'token.create', target: id, facts: { name, role } })
    return created
  })
  return { view, token }
}

function hashOf(token: Secret): Buffer {
  return createHash('sha256').update(token.reveal()).digest()
}
