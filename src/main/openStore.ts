/** The control database, migrated, recognised as this installation's, with its authority, hosts and first token in it. */
import pg from 'pg'
import { ensureAdminToken } from '../bootstrap/adminToken.ts'
import { ensureFirstAuthority } from '../bootstrap/authorityFile.ts'
import { connectControlDatabase, sslOptions, type ControlConnection } from '../bootstrap/controlConnection.ts'
import { ensureMasterKeys } from '../bootstrap/masterKey.ts'
import type { Config } from '../config.ts'
import type { Keyring } from '../domain/keyring.ts'
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
  const open = openPool(controlDatabase, keyring)
  const { pool, store } = open
  await migrate(pool)
  await store.installation.ensure(config.installation)
  const { certPem: certificatePem, keyPem, notAfter } = first.authority
  await store.certificates.importIfNone({ id: first.id, certificatePem, keyPem, notAfter })
  for (const { host } of hosts) await store.hosts.register(host)
  await ensureAdminToken(config, store.tokens)
  return open
}

/** The store alone, for a command on the controller's machine: nothing is prepared, migrated or registered. */
export async function attachStore(config: Config, signal: AbortSignal): Promise<OpenStore> {
  const keyring = await ensureMasterKeys(config, { announce: () => undefined })
  const controlDatabase = config.databaseUrl === undefined
    ? await connectControlDatabase(config, await ensureFirstAuthority(config, keyring, new Date()), signal)
    : { url: config.databaseUrl, tls: null }
  return openPool(controlDatabase, keyring)
}

function openPool(controlDatabase: ControlConnection, keyring: Keyring): OpenStore {
  const { url, tls } = controlDatabase
  const pool = createPool({ url, applicationName: 'holdfast', ...(tls !== null && { tls }) })
  const newClient = (): pg.Client => new pg.Client({ connectionString: url.reveal(), ...sslOptions(controlDatabase), application_name: 'holdfast wakes', keepAlive: true })
  return { pool, store: createStore({ pool, keyring }), newClient }
}

/** Which authority signs is asked at each certificate: another controller may have rolled it over. */
export async function signingAuthority(store: Store): Promise<SigningAuthority> {
  const { id, certificatePem, keyPem } = await store.certificates.active()
  return { id, authority: authorityOf(certificatePem, keyPem) }
}
