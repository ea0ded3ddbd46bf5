/** Credentials of customers: generated here, sealed at once, shown once. */
import { randomBytes, randomUUID } from 'node:crypto'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { scramVerifier } from '../domain/scram.ts'
import { Secret } from '../domain/secret.ts'
import { sealContext } from './seal.ts'
import type { Sql } from './sql.ts'

/** Shown once. */
export interface IssuedCredential {
  readonly id: string
  readonly roleName: string
  readonly password: Secret
}

export interface NewCredential extends IssuedCredential {
  readonly verifier: Secret
}

/** 192 random bits, in characters that need no escaping in a URL. */
const passwordBytes = 24

export async function newPassword(): Promise<Pick<NewCredential, 'id' | 'password' | 'verifier'>> {
  const password = new Secret(randomBytes(passwordBytes).toString('base64url'))
  return { id: randomUUID(), password, verifier: await scramVerifier(password) }
}

/** Roles are numbered, because during an overlap two of them work at once. */
export function roleName(databaseName: string, number: number): string {
  return `${databaseName}_${String(number)}`
}

export async function insertCredential(sql: Sql, keyring: Keyring, databaseId: string, credential: NewCredential): Promise<void> {
  const { id, roleName: role, password, verifier } = credential
  await sql.run(`insert into credentials (id, database_id, role_name, password, verifier) values ($1, $2, $3, $4, $5)`, [
    id, databaseId, role, keyring.seal(password, sealContext.password(id)), keyring.seal(verifier, sealContext.verifier(id)),
  ])
}

const sourceRow = z.object({ id: z.string(), roleName: z.string(), password: z.string(), verifier: z.string() })

/** The current credential of another database, to be inserted under an id of its own: same role, same password. */
export async function copyCredential(sql: Sql, keyring: Keyring, sourceDatabaseId: string, id: string): Promise<NewCredential> {
  const source = await sql.maybe(
    sourceRow,
    `select id, role_name as "roleName", password, verifier from credentials where database_id = $1 and ends_at is null`,
    [sourceDatabaseId],
  )
  if (source === undefined) throw new HoldfastError('Internal', `Database ${sourceDatabaseId} has no current credential.`)
  const password = keyring.open(source.password, sealContext.password(source.id))
  return { id, roleName: source.roleName, password, verifier: keyring.open(source.verifier, sealContext.verifier(source.id)) }
}

/** Overlaps at once; more would mean that nobody ever moves to the new password. */
const mostOverlaps = 3

const overlapRow = z.object({ newest: z.number(), overlapping: z.number() })

/** Ends the current credential after the overlap; gives the number of the next role. Error: `Conflict`. */
export async function beginOverlap(sql: Sql, databaseId: string, overlapSeconds: number): Promise<number> {
  const { newest, overlapping } = await sql.one(
    overlapRow,
    `select max(substring(role_name from '[0-9]+$')::int) as newest,
            (count(*) filter (where ends_at is not null and ended_at is null))::int as overlapping
       from credentials where database_id = $1`,
    [databaseId],
  )
  if (overlapping >= mostOverlaps) {
    throw new HoldfastError('Conflict', `${String(overlapping)} old passwords of this database still work.`, { next: 'Wait until one has ended, then rotate again.' })
  }
  await sql.run(`update credentials set ends_at = now() + make_interval(secs => $2) where database_id = $1 and ends_at is null`, [databaseId, overlapSeconds])
  return newest + 1
}
