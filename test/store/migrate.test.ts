/**
 * Migrations: from nothing, from each earlier schema with rows in it, twice, at once, and never over what is not ours.
 * `seeds/<migration>.sql` puts at least one row into every table of the schema that the migration leaves behind, so each
 * later migration is tried on a database in use without anybody writing another test.
 */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Pool } from 'pg'
import { migrate, migrationsDirectory, readMigrations, schemaVersion } from '../../src/store/migrate.ts'
import { emptyDatabase, testDatabase } from '../harness/controlDatabase.ts'
import { dumpSchema, schemaFile } from '../harness/schemaDump.ts'
import { withCode } from './rig.ts'

const migrations = await readMigrations(migrationsDirectory)
const newest = migrations.at(-1)?.name ?? ''
const bookkeeping = new Set(['schema_migrations', 'schema_checksums'])

test('the committed dump is what the migrations make', async (t) => {
  const made = await dumpSchema(await testDatabase(t))
  assert.equal(await readFile(schemaFile, 'utf8'), made, 'run `npm run schema` and review the difference')
})

test('an empty database gets every migration in order; a second run finds nothing to do', async (t) => {
  const { pool } = await emptyDatabase(t)
  assert.equal(await schemaVersion(pool), null)
  const first = await migrate(pool)
  assert.deepEqual(first, { applied: migrations.map(({ name }) => name), version: newest })
  assert.deepEqual(await migrate(pool), { applied: [], version: newest })
  assert.equal(await schemaVersion(pool), newest)
})

test('controllers that start at once take turns: each migration runs once', async (t) => {
  const { pool, connect } = await emptyDatabase(t)
  const results = await Promise.all([pool, connect(), connect(), connect()].map((one) => migrate(one)))
  assert.deepEqual(results.flatMap(({ applied }) => applied), migrations.map(({ name }) => name))
})

for (const [index, { name }] of migrations.entries()) {
  test(`a database in use with the schema of ${name} reaches the newest one with its rows`, async (t) => {
    const database = await emptyDatabase(t)
    await migrate(database.pool, { count: index + 1 })
    await database.pool.query(await readFile(new URL(`seeds/${name}.sql`, import.meta.url), 'utf8'))
    const before = await rowCounts(database.pool)
    for (const [table, rows] of before) assert.ok(rows > 0, `seeds/${name}.sql puts a row into ${table}`)
    const { applied } = await migrate(database.pool)
    assert.deepEqual(applied, migrations.slice(index + 1).map((migration) => migration.name))
    assert.equal(await dumpSchema(database), await readFile(schemaFile, 'utf8'))
    const after = new Map(await rowCounts(database.pool))
    for (const [table, rows] of before) assert.ok((after.get(table) ?? rows) >= rows, `rows of ${table} are kept`)
  })
}

test('a migration that was changed after it had been applied is refused', async (t) => {
  const { pool } = await emptyDatabase(t)
  const directory = await copyOfMigrations(t)
  await migrate(pool, { directory })
  await writeFile(join(directory, `${newest}.sql`), '-- other\n')
  await assert.rejects(migrate(pool, { directory }), withCode('MigrationChanged'))
})

test('a schema that a newer version made is refused, and not touched', async (t) => {
  const { pool } = await emptyDatabase(t)
  const directory = await copyOfMigrations(t)
  await writeFile(join(directory, '9999_newer.sql'), 'create table newer (id integer);\n')
  await migrate(pool, { directory })
  await assert.rejects(migrate(pool), withCode('SchemaTooNew'))
  assert.equal(await schemaVersion(pool), '9999_newer')
})

test('a migration that fails leaves nothing of itself, and the ones before it', async (t) => {
  const { pool } = await emptyDatabase(t)
  const directory = await copyOfMigrations(t)
  await writeFile(join(directory, '9999_broken.sql'), 'create table half (id integer);\nselect 1 / 0;\n')
  await assert.rejects(migrate(pool, { directory }), withCode('StartFailed'))
  assert.equal(await schemaVersion(pool), newest)
  const { rowCount } = await pool.query(`select from pg_class where relname = 'half'`)
  assert.equal(rowCount, 0)
  await rm(join(directory, '9999_broken.sql'))
  assert.deepEqual((await migrate(pool, { directory })).applied, [])
})

test('without a control database there is one clear error', async (t) => {
  const { pool } = await emptyDatabase(t)
  const { default: pg } = await import('pg')
  const nowhere = new pg.Pool({ ...pool.options, connectionString: 'postgres://postgres@127.0.0.1:9/none' })
  await assert.rejects(migrate(nowhere), withCode('ControlDatabaseUnavailable'))
})

async function rowCounts(pool: Pool): Promise<[string, number][]> {
  const { rows } = await pool.query<{ tablename: string }>(`select tablename from pg_tables where schemaname = 'public' order by tablename`)
  const tables = rows.map(({ tablename }) => tablename).filter((table) => !bookkeeping.has(table))
  return Promise.all(tables.map(async (table): Promise<[string, number]> => [table, (await pool.query(`select from ${table}`)).rowCount ?? 0]))
}

async function copyOfMigrations(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-migrations-'))
  t.after(() => rm(directory, { recursive: true }))
  await cp(migrationsDirectory, directory, { recursive: true })
  return directory
}
