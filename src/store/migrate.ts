/**
 * Brings the control database to this version's schema: `migrations/*.sql`, forward only, each in its own file and never
 * changed after release. Refuses a schema that a newer version made, and a history that is not the one it knows.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { runner } from 'node-pg-migrate'
import pg, { type Client, type Pool } from 'pg'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'

export interface MigrateOptions {
  /** Only the first so many: to test the step from one version to the next. */
  readonly count?: number
  readonly directory?: string
}

export interface Migrated {
  /** Names of the migrations that were applied now. */
  readonly applied: readonly string[]
  /** Name of the newest one that the schema has. */
  readonly version: string
}

export const migrationsDirectory = fileURLToPath(new URL('../../migrations/', import.meta.url))

/** Safe when several start at once: they take turns, and the later ones find nothing to do. */
export async function migrate(pool: Pool, { count = Number.POSITIVE_INFINITY, directory = migrationsDirectory }: MigrateOptions = {}): Promise<Migrated> {
  const files = (await readMigrations(directory)).slice(0, count)
  // a connection of its own: the pool's limits would cut a long migration off, and the lock ends with it whatever happens
  const client = new pg.Client({ ...pool.options, ...limits })
  client.on('error', () => undefined)
  await client.connect().catch((cause: unknown) => {
    throw new HoldfastError('ControlDatabaseUnavailable', 'The control database does not answer, so its schema could not be brought up to date.', { cause })
  })
  try {
    await client.query(`select pg_advisory_lock(${String(lockNumber)})`)
    await client.query(`select set_config('lock_timeout', '${String(lockTimeoutMs)}', false)`)
    return await applyMissing(client, directory, files)
  } finally {
    await client.end()
  }
}

/** Name of the newest migration that the schema has; null before the first. */
export async function schemaVersion(pool: Pool): Promise<string | null> {
  return (await appliedNames(pool)).at(-1) ?? null
}

interface MigrationFile {
  readonly name: string
  readonly checksum: string
}

/** Any number, as long as every controller takes the same one. */
const lockNumber = 4_873_001
/** A migration may take its time, and so may the wait for another controller that runs one. */
const migrationTimeoutMs = 10 * 60_000
const limits = { statement_timeout: migrationTimeoutMs, query_timeout: migrationTimeoutMs, lock_timeout: 0, idle_in_transaction_session_timeout: 0 }
/** Whoever waits for a table holds up everybody behind it: rather fail, and try at the next start. */
const lockTimeoutMs = 30_000

const migrationsTable = 'schema_migrations'

export async function readMigrations(directory: string): Promise<MigrationFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).toSorted()
  return Promise.all(names.map(async (name) => {
    const text = await readFile(join(directory, name))
    return { name: name.slice(0, -'.sql'.length), checksum: createHash('sha256').update(text).digest('hex') }
  }))
}

async function applyMissing(client: Client, directory: string, files: readonly MigrationFile[]): Promise<Migrated> {
  await client.query(`create table if not exists schema_checksums (name text primary key, sha256 text not null)`)
  await refuseForeignHistory(client, files)
  const applied = await runner({
    dbClient: client,
    dir: directory,
    direction: 'up',
    migrationsTable,
    count: files.length === 0 ? 0 : files.length - (await appliedNames(client)).length,
    noLock: true,
    checkOrder: true,
    log: () => undefined,
  }).catch((cause: unknown) => {
    throw new HoldfastError('StartFailed', 'A migration of the control database failed; nothing of it was kept.', { cause, next: 'Look at the cause; the previous version still works on this schema.' })
  })
  for (const { name, checksum } of files) {
    await client.query(`insert into schema_checksums (name, sha256) values ($1, $2) on conflict do nothing`, [name, checksum])
  }
  return { applied: applied.map(({ name }) => name), version: files.at(-1)?.name ?? '' }
}

const checksumRows = z.array(z.object({ name: z.string(), sha256: z.string() }))

async function refuseForeignHistory(client: Client, files: readonly MigrationFile[]): Promise<void> {
  const { rows } = await client.query(`select name, sha256 from schema_checksums`)
  const known = new Map(checksumRows.parse(rows).map(({ name, sha256 }) => [name, sha256]))
  for (const name of await appliedNames(client)) {
    const file = files.find((candidate) => candidate.name === name)
    if (file === undefined) {
      throw new HoldfastError('SchemaTooNew', `The control database has the migration ${name}, which this version does not know.`, { next: 'Start a version of Holdfast that is at least as new as the one that ran last.' })
    }
    if (file.checksum !== (known.get(name) ?? file.checksum)) {
      throw new HoldfastError('MigrationChanged', `The migration ${name} was changed after it had been applied.`, { next: 'Restore the file as it was released; a change of the schema needs a migration of its own.' })
    }
  }
}

const nameRows = z.array(z.object({ name: z.string() }))

async function appliedNames(client: Pool | Client): Promise<string[]> {
  const exists = await client.query(`select from pg_class where oid = to_regclass('${migrationsTable}')`)
  if (exists.rowCount === 0) return []
  const { rows } = await client.query(`select name from ${migrationsTable} order by id`)
  return nameRows.parse(rows).map(({ name }) => name)
}
