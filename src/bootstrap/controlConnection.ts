/** How the embedded control database is connected to: loopback, the controller's own certificate, verified by name. */
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkServerIdentity, type ConnectionOptions } from 'node:tls'
import pg from 'pg'
import pRetry from 'p-retry'
import type { Config } from '../config.ts'
import { commonName } from '../domain/names.ts'
import { Secret } from '../domain/secret.ts'
import { issueFor } from '../pki/issuer.ts'
import type { FirstAuthority } from './authorityFile.ts'
import { embeddedPlaces } from './embedded.ts'

const databaseName = 'holdfast'
const dayMs = 86_400_000
const certificateLifetimeMs = 365 * dayMs
/** A first start initialises a cluster; a start after a crash replays its log. */
const startTimeoutMs = 90_000
const connectTimeoutMs = 3_000
/** CREATE DATABASE copies a template. A connection that broke on its way, unnoticed by both sides, is given up after that, and tried anew. */
const answerTimeoutMs = 20_000

export interface ControlConnection {
  readonly url: Secret
  /** Asked at each connection: certificates are renewed. Null: as the URL says. */
  readonly tls: (() => ControlTls) | null
}

export interface ControlTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret
  /** The name that the server's certificate has to carry. */
  readonly serverName: string
}

/** Waits until it answers, makes our database in it, and gives back how to connect. Errors: the last refusal after 90 s. */
export async function connectControlDatabase(config: Config, first: FirstAuthority, signal: AbortSignal): Promise<ControlConnection> {
  const connection = await connectionOf(config, first)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(startTimeoutMs)])
  await pRetry(() => ensureDatabase(connection), {
    retries: 600, minTimeout: 100, maxTimeout: 250, factor: 1.2, signal: limit,
  })
  await writeFile(initialisedFile(config), '')
  return connection
}

/** Whether the embedded control database was up once: from then on an empty volume is a loss and never initialised. */
export function wasInitialised(config: Config): Promise<boolean> {
  return access(initialisedFile(config)).then(() => true, () => false)
}

export function initialisedFile({ stateDir }: Config): string {
  return join(stateDir, 'control-database.initialised')
}

async function connectionOf(config: Config, first: FirstAuthority): Promise<ControlConnection> {
  const { port, serverName } = embeddedPlaces(config).controlDatabase
  const request = { commonName: commonName.controller(config.installation), names: [], usage: 'client' } as const
  const { certificatePem: cert, keyPem: key } = await issueFor(first.authority, first.id, request, certificateLifetimeMs, new Date())
  return { url: urlOf(port, databaseName), tls: () => ({ ca: first.trustPem, cert, key, serverName }) }
}

function urlOf(port: number, database: string): Secret {
  return new Secret(`postgres://postgres@127.0.0.1:${port}/${database}`)
}

async function ensureDatabase(connection: ControlConnection): Promise<void> {
  const maintenance = new URL(connection.url.reveal())
  maintenance.pathname = '/postgres'
  const client = new pg.Client({ connectionString: maintenance.href, connectionTimeoutMillis: connectTimeoutMs, query_timeout: answerTimeoutMs, ...(connection.tls !== null && { ssl: sslOf(connection.tls()) }) })
  try {
    await client.connect()
    const found = await client.query('select from pg_database where datname = $1', [databaseName])
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`)
  } finally {
    await client.end().catch(() => undefined)
  }
}

function sslOf({ ca, cert, key, serverName }: ControlTls): ConnectionOptions {
  return { ca, cert, key: key.reveal(), checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate) }
}
