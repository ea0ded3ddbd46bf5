/** `holdfast control-backups`: the control database's own backups, and the way to get one back: a file for `psql -f`. */
import { writeFile } from 'node:fs/promises'
import { beginPreparation, prepareEngines, prepareImages, prepareObjectStore } from '../bootstrap/prepare.ts'
import { connectObjectStore } from '../clients/s3.ts'
import { loadConfig } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import { openDump } from '../executor/controlBackup.ts'
import type { ControlBackupOptions } from './localCommand.ts'

const timeoutMs = 10 * 60_000
const maxBytes = 256 * 1024 * 1024
const prefix = 'control/'

/** Asks the store itself and not the control database, which is what may be lost. */
export async function run({ json, fetch }: ControlBackupOptions): Promise<number> {
  const signal = AbortSignal.timeout(timeoutMs)
  const ground = await beginPreparation(loadConfig(), () => undefined)
  for (const step of [prepareEngines, prepareImages, prepareObjectStore]) await step(ground, () => undefined, signal)
  if (ground.s3 === null) throw new HoldfastError('ObjectStoreUnavailable', 'There is no object store in the settings')
  const { connection, bucket } = ground.s3
  const store = connectObjectStore(connection)
  try {
    const keys = (await Array.fromAsync(store.listObjects(bucket, prefix, signal))).map(({ key }) => key).sort()
    const newest = keys.at(-1)
    if (fetch !== null) {
      const sealed = newest === undefined ? null : await store.getObject(bucket, newest, maxBytes, signal)
      if (newest === undefined || sealed === null) throw new HoldfastError('NotFound', 'The object store holds no backup of the control database', { next: 'The first is taken within an hour of the first start' })
      await writeFile(fetch, openDump(ground.keyring, sealed.toString('utf8'), newest), { mode: 0o600 })
    }
    if (json) process.stdout.write(`${JSON.stringify({ schema: 'holdfast.controlBackups/1', ok: true, keys, fetched: fetch === null ? null : newest })}\n`)
    else process.stdout.write(fetch === null ? `${keys.join('\n')}\n` : `${newest ?? ''} is in ${fetch}; restore it into an empty database with psql -f.\n`)
    return 0
  } finally {
    store.close()
  }
}
