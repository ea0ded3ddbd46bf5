/** The control database, migrated, recognised as this installation's, with its authority, hosts and first token in it. */
import type pg from 'pg'
import { ensureAdminToken } from '../bootstrap/adminToken.ts'
import { ensureFirstAuthority } from '../bootstrap/authorityFile.ts'
import { connectControlDatabase, type ControlConnection } from '../bootstrap/controlConnection.ts'
import { ensureMasterKeys } from '../bootstrap/masterKey.ts'
import type { Config } from '../config.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { SigningAuthority } from '../pki/issuer.ts'
import { authorityOf } from '../pki/authority.ts'
import { migrate } from '../store/migrate.ts'
import { createPool } from '../store/pool.ts'
import { createStore, type AuthorityRecord, type Provisioning, type Store } from '../store/store.ts'
import { recordOf } from './authorityRecord.ts'
import type { Ground } from './ground.ts'
import { provisioningOf } from './provisioning.ts'

export interface OpenStore {
  readonly pool: pg.Pool
  readonly store: Store
}

export async function openStore(ground: Ground): Promise<OpenStore> {
  const { config, keyring, first, hosts, controlDatabase } = ground
  const open = openPool(controlDatabase, keyring, provisioningOf(ground))
  const { pool, store } = open
  await migrate(pool)
  await store.installation.ensure(config.installation)
  await ensureAuthority(store, recordOf(first), new Date())
  for (const { host } of hosts) await store.hosts.register(host)
  await ensureAdminToken(config, store.tokens)
  return open
}

/** After years without a controller the one that signs has ended, with all that it signed: the one of this start takes its place. */
async function ensureAuthority({ certificates }: Store, ours: AuthorityRecord, now: Date): Promise<void> {
  const active = await certificates.importIfNone(ours)
  if (active.notAfter > now) return
  await certificates.addAuthority(ours)
  await certificates.activate(ours.id)
}

/** The store alone, for a command on the controller's machine: nothing is prepared, migrated or registered. */
export async function attachStore(config: Config, signal: AbortSignal): Promise<OpenStore> {
  const keyring = await ensureMasterKeys(config, { announce: () => undefined })
  const controlDatabase = config.databaseUrl === undefined
    ? await connectControlDatabase(config, await ensureFirstAuthority(config, keyring, new Date()), signal)
    : { url: config.databaseUrl, tls: null }
  return openPool(controlDatabase, keyring)
}

function openPool({ url, tls }: ControlConnection, keyring: Keyring, provisioning?: Provisioning): OpenStore {
  const pool = createPool({ url, applicationName: 'holdfast', ...(tls !== null && { tls }) })
  return { pool, store: createStore({ pool, keyring, ...(provisioning !== undefined && { provisioning }) }) }
}

/** Which authority signs is asked at each certificate: another controller may have rolled it over. */
export async function signingAuthority(store: Store): Promise<SigningAuthority> {
  const { id, certificatePem, keyPem } = await store.certificates.active()
  return { id, authority: authorityOf(certificatePem, keyPem) }
}
