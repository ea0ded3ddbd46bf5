/** Re-encryption under the active master key, a few rows at a time: it may be interrupted and run beside everything else. */
import { z } from 'zod'
import { keyIdOf, type Keyring } from '../domain/keyring.ts'
import { contextOf, sealedColumns, type SealedColumn } from './seal.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'

export interface KeyStore {
  /** Seals everything anew that another key than the active one has sealed. */
  reseal(): Promise<{ readonly resealed: number }>
  /** How many sealed values each key still opens. A key that is not listed may be taken out of the settings. */
  inUse(): Promise<Readonly<Record<string, number>>>
}

/** Rows locked at a time: few enough that no pass waits for them noticeably. */
const batchSize = 50

const sealedRow = z.object({ key: z.string(), sealed: z.string() })

export function keyStore(database: ControlDatabase, keyring: Keyring): KeyStore {
  return {
    async reseal() {
      let resealed = 0
      for (const column of sealedColumns) resealed += await resealColumn(database, keyring, column)
      return { resealed }
    },
    async inUse() {
      const counts: Record<string, number> = {}
      for (const { table, column, key } of sealedColumns) {
        const rows = await database.many(sealedRow, `select ${key} as key, ${column} as sealed from ${table} where ${column} is not null`)
        for (const { sealed } of rows) counts[keyIdOf(sealed)] = (counts[keyIdOf(sealed)] ?? 0) + 1
      }
      return counts
    },
  }
}

async function resealColumn(database: ControlDatabase, keyring: Keyring, column: SealedColumn): Promise<number> {
  for (let total = 0; ; ) {
    const batch = await database.transaction((sql) => resealBatch(sql, keyring, column))
    total += batch
    if (batch < batchSize) return total
  }
}

async function resealBatch(sql: Sql, keyring: Keyring, sealedColumn: SealedColumn): Promise<number> {
  const { table, column, key } = sealedColumn
  const rows = await sql.many(
    sealedRow,
    `select ${key} as key, ${column} as sealed from ${table} where not starts_with(${column}, $1) limit $2 for no key update`,
    [`v1.${keyring.activeKeyId}.`, batchSize],
  )
  for (const row of rows) {
    const context = contextOf(sealedColumn, row.key)
    const anew = keyring.seal(keyring.open(row.sealed, context), context)
    await sql.run(`update ${table} set ${column} = $2 where ${key} = $1`, [row.key, anew])
  }
  return rows.length
}
