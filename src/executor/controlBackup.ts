/**
 * The control database's own backup: a dump, sealed with the master key. Without the master key file nobody can open it, so it
 * says nothing to who holds the bucket.
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Keyring } from '../domain/keyring.ts'
import { Secret } from '../domain/secret.ts'
import { copyKey, keepCopy, type CopyTools } from './keptCopy.ts'

export interface ControlBackupOptions extends CopyTools {
  /** `pg_dump` of the control database as SQL text. */
  readonly dump: (signal: AbortSignal) => Promise<string>
  readonly keyring: Keyring
}

/** Errors: `ReadBackFailed`. */
export async function backUpControlDatabase(options: ControlBackupOptions, now: Date, signal: AbortSignal): Promise<void> {
  const objectKey = copyKey('control', now, 'dump.sealed')
  const sealed = sealDump(options.keyring, await options.dump(signal), objectKey)
  await keepCopy(options, 'The backup of the control database', objectKey, Buffer.from(sealed), signal)
}

export function sealDump(keyring: Keyring, dump: string, objectKey: string): string {
  return keyring.seal(new Secret(gzipSync(dump).toString('base64')), objectKey)
}

/** Errors: `MasterKeyUnknown`, `SealBroken`. */
export function openDump(keyring: Keyring, sealed: string, objectKey: string): string {
  return gunzipSync(Buffer.from(keyring.open(sealed, objectKey).reveal(), 'base64')).toString('utf8')
}
