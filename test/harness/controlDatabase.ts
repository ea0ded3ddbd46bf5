/**
 * A control database for each test file: a copy of a template that was migrated once, made in about 50 ms. It is dropped
 * when the test or file ends, and a connection that is still open then is a leak, which fails.
 */
import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { Secret } from '../../src/domain/secret.ts'
import { migrate, migrationsDirectory, readMigrations } from '../../src/store/migrate.ts'
import { createPool } from '../../src/store/pool.ts'
import { controlServer } from './controlServer.ts'

export interface TestDatabase {
  readonly name: string
  readonly url: Secret
  /** Ended with the database; few connections, as many tests run at once. */
  readonly pool: pg.Pool
  /** Another controller's pool. */
  readonly connect: () => pg.Pool
}

/** `TestContext`, or `{ after }` of `node:test` for a whole file. */
export interface Ending {
  after(end: () => Promise<void>): void
}

/** Runs what it is given in the opposite order: what was opened last is closed first, and the database goes last of all. */
export function lastFirst(t: Ending): Ending {
  const ends: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const end of ends.toReversed()) await end()
  })
  return { after: (end) => void ends.push(end) }
}

const connections = 8

/** Migrated to the newest schema. */
export async function testDatabase(t: Ending): Promise<TestDatabase> {
  const server = await controlServer()
  return openDatabase(t, server, await migratedTemplate(server))
}

/** Without any table. */
export async function emptyDatabase(t: Ending): Promise<TestDatabase> {
  return openDatabase(t, await controlServer(), 'template0')
}

async function openDatabase(t: Ending, server: URL, template: string): Promise<TestDatabase> {
  const name = `t_${randomBytes(6).toString('hex')}`
  await administer(server, (admin) => admin.query(`create database ${name} template ${template}`))
  const url = databaseUrl(server, name)
  const pools: pg.Pool[] = []
  const connect = (): pg.Pool => {
    const pool = createPool({ url, applicationName: 'holdfast-test', maxConnections: connections })
    pools.push(pool)
    return pool
  }
  const pool = connect()
  t.after(async () => {
    await Promise.all(pools.filter((one) => !one.ended).map((one) => one.end()))
    await administer(server, (admin) => drop(admin, name))
  })
  return { name, url, pool, connect }
}

/** The server itself waits 5 s for backends whose client has just gone; whoever is there after that was never closed. */
async function drop(admin: pg.Client, name: string): Promise<void> {
  try {
    await admin.query(`drop database ${name}`)
  } catch (error) {
    await admin.query(`drop database ${name} with (force)`)
    throw new Error('the test left a connection to its control database open', { cause: error })
  }
}

/** Named after what the migrations say: a changed migration makes another template. */
async function migratedTemplate(server: URL): Promise<string> {
  const migrations = await readMigrations(migrationsDirectory)
  const name = `template_${createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 12)}`
  await administer(server, async (admin) => {
    await admin.query(`select pg_advisory_lock(hashtext($1))`, [name])
    const { rowCount } = await admin.query(`select from pg_database where datname = $1`, [name])
    if (rowCount === 0) await makeTemplate(admin, server, name)
  })
  return name
}

/** Under its final name only when it is complete. */
async function makeTemplate(admin: pg.Client, server: URL, name: string): Promise<void> {
  await admin.query(`drop database if exists ${name}_unfinished`)
  await admin.query(`create database ${name}_unfinished template template0`)
  const pool = createPool({ url: databaseUrl(server, `${name}_unfinished`), applicationName: 'holdfast-test', maxConnections: 1 })
  await migrate(pool).finally(() => pool.end())
  await admin.query(`alter database ${name}_unfinished rename to ${name}`)
}

function databaseUrl(server: URL, name: string): Secret {
  const url = new URL(server)
  url.pathname = `/${name}`
  return new Secret(url.href)
}

async function administer<T>(server: URL, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: server.href, connectionTimeoutMillis: 10_000 })
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}
