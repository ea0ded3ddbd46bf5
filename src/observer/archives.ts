/**
 * The newest WAL file in a repository, as the store lists it. Keys sort as WAL does, so after the first look only what
 * came later is listed. Layout: pgBackRest's `archive/<stanza>/<version>-<history>/<16 hex>/<24 hex>-<sha1>.<ext>`.
 */
import type { ArchiveSeen } from '../domain/observed.ts'

export interface ObjectListing {
  /** "Directories" directly below `prefix`: whole prefixes with their final slash, in order. */
  listPrefixes(bucket: string, prefix: string, signal: AbortSignal): Promise<readonly string[]>
  /** In the order of keys, those after `startAfter` only. */
  listObjects(bucket: string, prefix: string, signal: AbortSignal, startAfter?: string): AsyncIterable<{ readonly key: string; readonly modifiedAt: Date }>
}

export interface NewestWal {
  readonly key: string
  readonly file: string
  readonly at: Date
}

const walKey = /\/([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?$/
const historyPrefix = /\/\d+(?:\.\d+)?-(\d+)\/$/
const segmentPrefix = /\/[0-9A-F]{16}\/$/
/** Directories without a whole WAL file are rare: a partial one of an ended timeline may be alone in the newest. */
const emptyDirectories = 3
/** Keys passed over in one look; the next look goes on from there. */
const longestScan = 20_000

export function seenOf(newest: NewestWal | null): ArchiveSeen {
  return { newestWalFile: newest?.file ?? null, newestAt: newest?.at ?? null }
}

/** `last`: what the previous look found. One call when nothing, or little, came since. */
export async function newestWal(
  store: ObjectListing, bucket: string, repositoryPath: string, last: NewestWal | null, signal: AbortSignal,
): Promise<NewestWal | null> {
  const archive = `${repositoryPath.replace(/^\/+|\/+$/g, '')}/archive/main/`
  if (last !== null) return (await lastIn(store, bucket, archive, signal, last.key)) ?? last
  const histories = await store.listPrefixes(bucket, archive, signal)
  const history = histories.toSorted((left, right) => historyOf(left) - historyOf(right)).at(-1)
  if (history === undefined) return null
  const segments = (await store.listPrefixes(bucket, history, signal)).filter((prefix) => segmentPrefix.test(prefix))
  for (const segment of segments.slice(-emptyDirectories).reverse()) {
    const found = await lastIn(store, bucket, segment, signal)
    if (found !== null) return found
  }
  return null
}

async function lastIn(store: ObjectListing, bucket: string, prefix: string, signal: AbortSignal, startAfter?: string): Promise<NewestWal | null> {
  let newest: NewestWal | null = null
  let passed = 0
  for await (const { key, modifiedAt } of store.listObjects(bucket, prefix, signal, startAfter)) {
    const file = walKey.exec(key)?.[1]
    if (file !== undefined && (startAfter === undefined || key > startAfter)) newest = { key, file, at: modifiedAt }
    passed += 1
    if (passed >= longestScan) break
  }
  return newest
}

function historyOf(prefix: string): number {
  return Number(historyPrefix.exec(prefix)?.[1] ?? -1)
}
