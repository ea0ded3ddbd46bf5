/** `holdfast control-backups`: the control database's own backups, and the way to get one back: a file for `psql -f`. */
import { writeFile } from 'node:fs/promises'
import { loadConfig } from '../config.ts'
import { findControlBackups } from '../main/controlBackups.ts'
import type { ControlBackupOptions } from './localCommand.ts'

const timeoutMs = 10 * 60_000

export async function run({ json, fetch }: ControlBackupOptions): Promise<number> {
  const { keys, newest } = await findControlBackups(loadConfig(), { open: fetch !== null }, AbortSignal.timeout(timeoutMs))
  if (fetch !== null && newest !== null) await writeFile(fetch, newest.dump, { mode: 0o600 })
  const fetched = newest?.key ?? null
  if (json) process.stdout.write(`${JSON.stringify({ schema: 'holdfast.controlBackups/1', ok: true, keys, fetched })}\n`)
  else process.stdout.write(fetched === null ? `${keys.join('\n')}\n` : `${fetched} is in ${fetch ?? ''}; restore it into an empty database with psql -f.\n`)
  return 0
}
