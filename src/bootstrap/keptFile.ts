/** What is made once and kept beside the master key, readable by its owner alone. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { z } from 'zod'
import type { Config } from '../config.ts'

/** Of two that make it at once, both get what the first one made. */
export async function keptFile<T>({ stateDir }: Pick<Config, 'stateDir'>, name: string, schema: z.ZodType<T>, made: T): Promise<T> {
  const path = join(stateDir, name)
  await writeFile(path, JSON.stringify(made), { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  })
  return schema.parse(JSON.parse(await readFile(path, 'utf8')))
}
