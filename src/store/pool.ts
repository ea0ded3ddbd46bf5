/** Connections to the control database: bounded in number, and each of their waits is bounded in time. */
import { checkServerIdentity, type ConnectionOptions } from 'node:tls'
import pg from 'pg'
import type { Secret } from '../domain/secret.ts'

export interface PoolSettings {
  readonly url: Secret
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** 10 by default: a controller runs a handful of passes at a time, and each statement is short. */
  readonly maxConnections?: number
  /** Asked at each connection: certificates are renewed. Left out: as the URL says. */
  readonly tls?: () => PoolTls
}

/** PEM texts; the server verifies ours, we verify the server's. */
export interface PoolTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret
  /** The name that the server's certificate has to carry, whatever address it answers at. */
  readonly serverName: string
}

/** Longer than any of our statements takes, shorter than a lease. */
const statementTimeoutMs = 10_000
/** A server that was frozen or cut off never answers: the driver gives up by itself, a little after the server would have. */
const answerTimeoutMs = 12_000
const lockTimeoutMs = 5_000
const connectTimeoutMs = 3_000
/** A controller that was stopped amid a transaction must not hold its locks for long. */
const idleInTransactionTimeoutMs = 15_000
const idleConnectionMs = 30_000

const int8 = 20

export function createPool(settings: PoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: settings.url.reveal(),
    ...(settings.tls !== undefined && { ssl: verified(settings.tls) }),
    application_name: settings.applicationName,
    max: settings.maxConnections ?? 10,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: idleConnectionMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: answerTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
    keepAlive: true,
    types: { getTypeParser: typeParser },
  })
  ignoreIdleFailures(pool)
  return pool
}

/** The driver reads these properties whenever it connects. */
function verified(tls: () => PoolTls): ConnectionOptions {
  return {
    get ca() { return tls().ca },
    get cert() { return tls().cert },
    get key() { return tls().key.reveal() },
    checkServerIdentity: (_address, certificate) => checkServerIdentity(tls().serverName, certificate),
  }
}

/** An idle connection that breaks is replaced at the next statement; without a listener it would end the process. */
export function ignoreIdleFailures(pool: pg.Pool): void {
  if (pool.listenerCount('error') === 0) pool.on('error', () => undefined)
}

/** Our counters and sizes stay far below 2^53; the driver's default would give text. */
const typeParser: pg.CustomTypesConfig['getTypeParser'] = (oid: number, format?: 'text' | 'binary'): ((value: string) => unknown) =>
  oid === int8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format)
