import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import pg from 'pg'
import { Keyring } from '../../src/domain/keyring.ts'
import { Secret } from '../../src/domain/secret.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createPool } from '../../src/store/pool.ts'
import { createStore } from '../../src/store/store.ts'

export async function controlDatabaseFor(t: TestContext) {
  const name = `t${randomBytes(6).toString('hex')}`
  const base = 'postgresql://postgres@127.0.0.1:54399/'
  const admin = new pg.Client(`${base}postgres`)
  await admin.connect()
  await admin.query(`create database ${name}`)
  const pool = createPool({ connection: { connectionString: base + name }, applicationName: 'test' })
  await migrate(pool)
  t.after(async () => { await pool.end(); await admin.query(`drop database ${name} with (force)`); await admin.end() })
  return { pool, store: createStore({ pool, keyring: Keyring.parse(new Secret(`k1:${randomBytes(32).toString('base64')}`)) }) }
}
