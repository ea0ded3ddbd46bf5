/**
 * The control database's own backup: a dump, sealed with the master key, put into the store, read back and compared; a
 * few are kept. Without the master key file nobody can open it, so it says nothing to who holds the bucket.
 */
import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { ObjectStore } from '../clients/s3.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { Secret } from '../domain/secret.ts'

export interface ControlBackupOptions {
  /** `pg_dump` of the control database as SQL text. */
  readonly dump: (signal: AbortSignal) => Promise<string>
  readonly keyring: Keyring
  readonly objectStore: Pick<ObjectStore, 'putObject' | 'getObject' | 'deletePrefix'>
  readonly bucket: string
  readonly backups: ControlBackups
}

export interface ControlBackups {
  add(backup: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<unknown>
  /** Newest first. */
  list(): Promise<readonly { readonly id: string; readonly objectKey: string }[]>
  remove(id: string): Promise<void>
}

/** A day of hourly backups. */
const kept = 24
/** A control database larger than this needs a tool of its own; it holds names, not data. */
const maxBytes = 256 * 1024 * 1024

export async function backUpControlDatabase(options: ControlBackupOptions, now: Date, signal: AbortSignal): Promise<void> {
  const { objectStore, bucket, backups } = options
  const prefix = `control/${now.toISOString().replaceAll(/[:.]/g, '-')}/`
  const objectKey = `${prefix}dump.sealed`
  const sealed = sealDump(options.keyring, await options.dump(signal), objectKey)
  await objectStore.putObject(bucket, objectKey, sealed, signal)
  const back = await objectStore.getObject(bucket, objectKey, maxBytes, signal)
  if (back === null || digest(back) !== digest(Buffer.from(sealed))) {
    throw new HoldfastError('ReadBackFailed', `The backup of the control database ${objectKey} does not read back as it was written`, { next: 'Look at the object store; the next hour tries again' })
  }
  await backups.add({ objectKey, bytes: back.length, verified: true })
  for (const old of (await backups.list()).slice(kept)) {
    await objectStore.deletePrefix(bucket, old.objectKey.slice(0, old.objectKey.lastIndexOf('/') + 1), signal)
    await backups.remove(old.id)
  }
}

export function sealDump(keyring: Keyring, dump: string, objectKey: string): string {
  return keyring.seal(new Secret(gzipSync(dump).toString('base64')), objectKey)
}

/** Errors: `MasterKeyUnknown`, `SealBroken`. */
export function openDump(keyring: Keyring, sealed: string, objectKey: string): string {
  return gunzipSync(Buffer.from(keyring.open(sealed, objectKey).reveal(), 'base64')).toString('utf8')
}

function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
