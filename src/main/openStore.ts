/** The control database, migrated, recognised as this installation's, with its authority, hosts and first token in it. */
import pg from 'pg'
import { ensureAdminToken } from '../bootstrap/adminToken.ts'
import { sslOptions } from '../bootstrap/controlConnection.ts'
import type { SigningAuthority } from '../pki/issuer.ts'
import { authorityOf } from '../pki/authority.ts'
import { migrate } from '../store/migrate.ts'
import { createPool } from '../store/pool.ts'
import { createStore, type Store } from '../store/store.ts'
import type { Ground } from './ground.ts'

export interface OpenStore {
  readonly pool: pg.Pool
  readonly store: Store
  /** A connection outside the pool, for LISTEN. */
  readonly newClient: () => pg.Client
}

export async function openStore({ config, keyring, first, hosts, controlDatabase }: Ground): Promise<OpenStore> {
  const { url, tls } = controlDatabase
  const ssl = sslOptions(controlDatabase)
  const pool = createPool({ url, applicationName: 'holdfast', ...(tls !== null && { tls }) })
  await migrate(pool)
  const store = createStore({ pool, keyring })
  await store.installation.ensure(config.installation)
  const { certPem: certificatePem, keyPem, notAfter } = first.authority
  await store.certificates.importIfNone({ id: first.id, certificatePem, keyPem, notAfter })
  for (const { host } of hosts) await store.hosts.register(host)
  await ensureAdminToken(config, store.tokens)
  return { pool, store, newClient: () => new pg.Client({ connectionString: url.reveal(), ...ssl, application_name: 'holdfast wakes', keepAlive: true }) }
}

/** Which authority signs is asked at each certificate: another controller may have rolled it over. */
export async function signingAuthority(store: Store): Promise<SigningAuthority> {
  const { id, certificatePem, keyPem } = await store.certificates.active()
  return { id, authority: authorityOf(certificatePem, keyPem) }
}
