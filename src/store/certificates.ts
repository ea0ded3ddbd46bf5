/** The installation's authorities and the certificates of its parts; private keys are sealed. */
import { z } from 'zod'
import type { CertificatePurpose, KeyPair } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { Secret } from '../domain/secret.ts'
import { holdLease, type Lease } from './lease.ts'
import { found, notFound } from './notFound.ts'
import { sealContext } from './seal.ts'
import { time, type Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'

export interface AuthorityRecord {
  readonly id: string
  readonly certificatePem: string
  readonly keyPem: Secret
  readonly notAfter: Date
}

export interface TrustedAuthority {
  readonly id: string
  readonly certificatePem: string
  readonly state: 'active' | 'trusted'
  readonly notAfter: Date
}

export interface IssuedCertificate {
  readonly purpose: CertificatePurpose
  readonly ownerId: string
  readonly keyPair: KeyPair
}

export interface CertificateStore {
  /** Keeps the given authority if there is none yet; gives back the one that is active now. */
  importIfNone(authority: AuthorityRecord): Promise<AuthorityRecord>
  /** Throws `NotFound` before the first import. */
  active(): Promise<AuthorityRecord>
  /** The active one first. */
  trusted(): Promise<readonly TrustedAuthority[]>
  /** Known to everybody from now on; signs nothing until it is activated. Wakes every database. */
  addAuthority(authority: AuthorityRecord): Promise<void>
  /** Signs from now on; the one before stays trusted. Wakes every database. Throws `NotFound`. */
  activate(authorityId: string): Promise<void>
  /** Authorities that signed a certificate of any database's. */
  inUse(): Promise<ReadonlySet<string>>
  /** With what it signed that has ended too. Throws `Conflict` while it is active or a certificate of it is in use. Wakes every database. */
  removeAuthority(authorityId: string): Promise<void>
  put(lease: Lease, certificate: IssuedCertificate): Promise<void>
}

const trustedRow: z.ZodType<TrustedAuthority> = z.object({
  id: z.string(), certificatePem: z.string(), state: z.enum(['active', 'trusted']), notAfter: time,
})
const inUseRow = z.object({ id: z.string() })
const authorityRow = z.object({ id: z.string(), certificatePem: z.string(), sealedKey: z.string(), notAfter: time })

export function certificateStore(database: ControlDatabase, keyring: Keyring): CertificateStore {
  const active = async (sql: Sql): Promise<AuthorityRecord | undefined> => {
    const row = await sql.maybe(
      authorityRow,
      `select id, certificate as "certificatePem", private_key as "sealedKey", not_after as "notAfter" from certificate_authorities where state = 'active'`,
    )
    if (row === undefined) return undefined
    const { sealedKey, ...authority } = row
    return { ...authority, keyPem: keyring.open(sealedKey, sealContext.authorityKey(row.id)) }
  }
  return {
    importIfNone: (authority) =>
      database.transaction(async (sql) => {
        // two controllers may start at once: the second one waits here and then finds the first one's authority
        await sql.run(`lock table certificate_authorities in share row exclusive mode`)
        const existing = await active(sql)
        if (existing !== undefined) return existing
        await insertAuthority(sql, keyring, authority, 'active')
        return authority
      }),
    active: async () => found(await active(database), 'active certificate authority', 'yet'),
    trusted: () =>
      database.many(
        trustedRow,
        `select id, certificate as "certificatePem", state, not_after as "notAfter" from certificate_authorities order by state, created_at desc, id`,
      ),
    addAuthority: (authority) =>
      database.transaction(async (sql) => {
        await insertAuthority(sql, keyring, authority, 'trusted')
        await wakeEverything(sql)
      }),
    activate: (authorityId) =>
      database.transaction(async (sql) => {
        await sql.run(`update certificate_authorities set state = 'trusted' where state = 'active' and id <> $1`, [authorityId])
        const activated = await sql.run(`update certificate_authorities set state = 'active' where id = $1`, [authorityId])
        if (activated === 0) throw notFound('certificate authority', authorityId)
        await wakeEverything(sql)
      }),
    async inUse() {
      const rows = await database.many(inUseRow, `select distinct authority_id as id from certificates`)
      return new Set(rows.map(({ id }) => id))
    },
    removeAuthority: (authorityId) =>
      database.transaction(async (sql) => {
        await sql.run(`delete from certificates where authority_id = $1 and not_after <= now()`, [authorityId])
        const removed = await sql.run(`delete from certificate_authorities where id = $1 and state <> 'active'`, [authorityId])
        if (removed === 0) throw new HoldfastError('Conflict', `The certificate authority ${authorityId} is active or is not there.`, { next: 'Activate its successor first.' })
        await wakeEverything(sql)
      }),
    put: (lease, certificate) =>
      database.transaction(async (sql) => {
        await holdLease(sql, lease)
        await putCertificate(sql, keyring, lease.databaseId, certificate)
      }),
  }
}

export async function putCertificate(sql: Sql, keyring: Keyring, databaseId: string, { purpose, ownerId, keyPair }: IssuedCertificate): Promise<void> {
  const { certificatePem, keyPem, commonName, names, notBefore, notAfter, authorityId } = keyPair
  await sql.run(
    `insert into certificates (purpose, owner_id, database_id, certificate, private_key, common_name, names, not_before, not_after, authority_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (purpose, owner_id) do update
       set database_id = excluded.database_id, certificate = excluded.certificate, private_key = excluded.private_key,
           common_name = excluded.common_name, names = excluded.names, not_before = excluded.not_before,
           not_after = excluded.not_after, authority_id = excluded.authority_id, issued_at = now()`,
    [purpose, ownerId, databaseId, certificatePem, keyring.seal(keyPem, sealContext.certificateKey(purpose, ownerId)), commonName, names, notBefore, notAfter, authorityId],
  )
}

async function insertAuthority(sql: Sql, keyring: Keyring, authority: AuthorityRecord, state: 'active' | 'trusted'): Promise<void> {
  const { id, certificatePem, keyPem, notAfter } = authority
  await sql.run(`insert into certificate_authorities (id, state, certificate, private_key, not_after) values ($1, $2, $3, $4, $5) on conflict (id) do nothing`, [
    id, state, certificatePem, keyring.seal(keyPem, sealContext.authorityKey(id)), notAfter,
  ])
}

async function wakeEverything(sql: Sql): Promise<void> {
  await sql.run(`update work_items set wake_seq = wake_seq + 1, due_at = now()`)
}
