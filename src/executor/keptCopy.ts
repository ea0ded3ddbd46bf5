/** Puts a copy of what the installation lives by into the object store: read back and compared before it counts; a few are kept. */
import type { ObjectStore } from '../clients/s3.ts'
import { HoldfastError } from '../domain/errors.ts'

export interface KeptCopies {
  add(copy: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<unknown>
  /** Newest first. */
  list(): Promise<readonly { readonly id: string; readonly objectKey: string }[]>
  remove(id: string): Promise<void>
}

export interface CopyTools {
  readonly objectStore: Pick<ObjectStore, 'putObject' | 'getObject' | 'deletePrefix'>
  readonly bucket: string
  readonly copies: KeptCopies
}

/** A day of hourly ones. */
const kept = 24

/** Where a copy of this moment goes: each in a folder of its own, whose name sorts by time. */
export function copyKey(kind: 'control' | 'etcd', now: Date, file: string): string {
  return `${kind}/${now.toISOString().replaceAll(/[:.]/g, '-')}/${file}`
}

/** `what`: for people, with the article. Error: `ReadBackFailed`. */
export async function keepCopy({ objectStore, bucket, copies }: CopyTools, what: string, objectKey: string, content: Buffer, signal: AbortSignal): Promise<void> {
  await objectStore.putObject(bucket, objectKey, content, signal)
  const back = await objectStore.getObject(bucket, objectKey, content.length, signal)
  if (back === null || !back.equals(content)) {
    throw new HoldfastError('ReadBackFailed', `${what} ${objectKey} does not read back as it was written`, { next: 'Look at the object store; the next hour tries again' })
  }
  await copies.add({ objectKey, bytes: back.length, verified: true })
  for (const old of (await copies.list()).slice(kept)) {
    await objectStore.deletePrefix(bucket, old.objectKey.slice(0, old.objectKey.lastIndexOf('/') + 1), signal)
    await copies.remove(old.id)
  }
}
