/**
 * The control database's backups as the store itself lists them: nothing here asks the control database, which is what
 * may be lost.
 */
import { beginPreparation, prepareEngines, prepareImages, prepareObjectStore } from '../bootstrap/prepare.ts'
import { connectObjectStore } from '../clients/s3.ts'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import { openDump } from '../executor/controlBackup.ts'

const maxBytes = 256 * 1024 * 1024
const prefix = 'control/'

export interface ControlBackupsFound {
  /** Object keys, oldest first. */
  readonly keys: readonly string[]
  /** The newest one, opened; null unless it was asked for. */
  readonly newest: { readonly key: string; readonly dump: string } | null
}

/** Errors: `NotFound` when a dump is asked for and there is none; `MasterKeyUnknown`, `SealBroken`, `ObjectStoreUnavailable`. */
export async function findControlBackups(config: Config, { open }: { readonly open: boolean }, signal: AbortSignal): Promise<ControlBackupsFound> {
  const ground = await beginPreparation(config, () => undefined)
  for (const step of [prepareEngines, prepareImages, prepareObjectStore]) await step(ground, () => undefined, signal)
  if (ground.s3 === null) throw new HoldfastError('ObjectStoreUnavailable', 'There is no object store in the settings')
  const { connection, bucket } = ground.s3
  const store = connectObjectStore(connection)
  try {
    const keys = (await Array.fromAsync(store.listObjects(bucket, prefix, signal))).map(({ key }) => key).sort()
    if (!open) return { keys, newest: null }
    const key = keys.at(-1)
    const sealed = key === undefined ? null : await store.getObject(bucket, key, maxBytes, signal)
    if (key === undefined || sealed === null) {
      throw new HoldfastError('NotFound', 'The object store holds no backup of the control database', { next: 'The first is taken within an hour of the first start' })
    }
    return { keys, newest: { key, dump: openDump(ground.keyring, sealed.toString('utf8'), key) } }
  } finally {
    store.close()
  }
}
