/**
 * Connections to a member's PostgreSQL: TLS with the server's name verified and our own certificate shown,
 * a limit on every wait, rows parsed. No pool and no policy: who keeps a connection and for how long is decided elsewhere.
 */
import { checkServerIdentity } from 'node:tls'
import pg from 'pg'
import type { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { effectDone } from './effects.ts'
import { codeOf, unreachable } from './unreachable.ts'

export { readPostgres } from './postgres/selfReport.ts'

export interface PostgresAddress {
  readonly host: string
  readonly port: number
  /** The name that the server's certificate has to carry, whatever `host` is. */
  readonly serverName: string
  readonly user: string
  readonly database: string
  /** PEM of every authority that is trusted. */
  readonly ca: string
  readonly cert: string
  readonly key: Secret
  readonly applicationName: string
  readonly connectTimeoutMs: number
  /** Bounds each statement on the server's side, and a little later on ours. */
  readonly statementTimeoutMs?: number
  /** Called once when the connection is over, whoever ended it. */
  readonly onEnd?: () => void
}

export interface PostgresConnection {
  /** Runs one statement and parses its rows. A name makes it a prepared statement of this connection. */
  query<T>(statement: Statement<T>, parameters?: readonly unknown[], signal?: AbortSignal): Promise<T[]>
  /** Runs one or, without parameters, several statements for their effect. */
  execute(text: string, parameters?: readonly unknown[], signal?: AbortSignal): Promise<void>
  /** False once the connection is broken or closed: it never comes back. */
  readonly usable: boolean
  /** Says goodbye and lets go; never throws. */
  close(): void
}

export interface Statement<T> {
  readonly text: string
  readonly row: z.ZodType<T>
  readonly name?: string
}

/** Long enough for what we ask of a member; what needs longer says so. */
const defaultStatementTimeoutMs = 5_000
/** How much later than the server we give up ourselves: its own answer says more than our silence. */
const answerGraceMs = 500

/** Errors: `MemberUnreachable`. An aborted signal or an exceeded limit breaks the connection off. */
export async function connectPostgres(address: PostgresAddress, signal?: AbortSignal): Promise<PostgresConnection> {
  const client = new pg.Client(clientConfig(address))
  const connection = new Connection(client, address)
  const limit = AbortSignal.timeout(address.connectTimeoutMs)
  await connection.guarded(signal === undefined ? limit : AbortSignal.any([signal, limit]), () => client.connect())
  return connection
}

function clientConfig(address: PostgresAddress): pg.ClientConfig {
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    application_name: address.applicationName,
    // Nothing but our certificate: not even what PGPASSWORD or a pgpass file would offer.
    password: () => Promise.reject(new Error('it asked for a password although our certificate should do')),
    ssl: {
      ca: address.ca,
      cert: address.cert,
      key: address.key.reveal(),
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      servername: address.serverName,
      // pg replaces `servername` by `host` when that is a name; the check must not follow it.
      checkServerIdentity: (_host, certificate) => checkServerIdentity(address.serverName, certificate),
    },
    keepAlive: true,
    statement_timeout: address.statementTimeoutMs ?? defaultStatementTimeoutMs,
    // We connect as a superuser to databases in which customers make functions: none of them may be found by name.
    options: '-c search_path=pg_catalog',
  }
}

class Connection implements PostgresConnection {
  readonly #client: pg.Client
  readonly #address: PostgresAddress
  #broken = false

  constructor(client: pg.Client, address: PostgresAddress) {
    this.#client = client
    this.#address = address
    // Without a listener an idle connection that breaks would end the process.
    client.on('error', () => { this.#broken = true })
    client.once('end', () => {
      this.#broken = true
      address.onEnd?.()
    })
  }

  get usable(): boolean {
    return !this.#broken
  }

  async query<T>(statement: Statement<T>, parameters: readonly unknown[] = [], signal?: AbortSignal): Promise<T[]> {
    const { text, name } = statement
    const config = { text, values: [...parameters], ...(name === undefined ? {} : { name }) }
    const result = await this.guarded(this.#limit(signal), () => this.#client.query<Record<string, unknown>>(config))
    return result.rows.map((row) => statement.row.parse(row))
  }

  async execute(text: string, parameters: readonly unknown[] = [], signal?: AbortSignal): Promise<void> {
    await this.guarded(this.#limit(signal), () => this.#client.query(text, parameters.length === 0 ? undefined : [...parameters]))
    effectDone('postgres', text.trim().split(/[\s(;]+/).slice(0, 2).join(' '))
  }

  close(): void {
    if (this.#broken) return
    this.#broken = true
    const cut = setTimeout(() => this.#client.connection.stream.destroy(), closeTimeoutMs)
    this.#client.end().catch(() => undefined).finally(() => { clearTimeout(cut) })
  }

  /** Does one piece of work under a signal. pg cannot take a request back, so an abort costs the connection. */
  async guarded<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const breakOff = (): void => {
      this.#broken = true
      this.#client.connection.stream.destroy(new Error('given up', { cause: signal.reason }))
    }
    if (signal.aborted) throw this.#unreachable(signal.reason)
    signal.addEventListener('abort', breakOff, { once: true })
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) throw this.#unreachable(signal.reason)
      throw this.#explained(error)
    } finally {
      signal.removeEventListener('abort', breakOff)
    }
  }

  #limit(signal: AbortSignal | undefined): AbortSignal {
    const limit = AbortSignal.timeout((this.#address.statementTimeoutMs ?? defaultStatementTimeoutMs) + answerGraceMs)
    return signal === undefined ? limit : AbortSignal.any([signal, limit])
  }

  #explained(error: unknown): HoldfastError {
    const code = codeOf(error)
    // A statement that PostgreSQL refused leaves the connection whole: everything outside these classes.
    const refused = error instanceof pg.DatabaseError && !/^(08|28|53|57P|3D)/.test(code ?? '')
    if (!refused) return this.#unreachable(error)
    return new HoldfastError('Internal', `PostgreSQL refused a statement (${code ?? 'no SQLSTATE'}): ${error.message}`, {
      cause: error,
      facts: { sqlState: code ?? null },
    })
  }

  #unreachable(error: unknown): HoldfastError {
    this.#broken = true
    this.#client.connection.stream.destroy()
    const { host, port } = this.#address
    return unreachable(`PostgreSQL on ${host}:${port}`, error, { host, port })
  }
}

/** A server that does not say goodbye within this is cut off. */
const closeTimeoutMs = 1_000
