/**
 * Before a restore to a moment: has the source, if it lives, write and archive WAL beyond that moment. The source is not
 * changed otherwise. A source that is gone has what it has; the restore itself says whether that is enough.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { servingInstance, type Desired } from '../domain/desired.ts'
import type { Repositories } from './backups.ts'
import { stanza } from './backups.ts'
import { endSegment, type PostgresTools } from './postgres.ts'

/** Shipping a segment takes a second or two; a pass has to end within its own limit. */
const archiveWaitMs = 20_000
const lookMs = 300

export async function reachMoment(tools: PostgresTools, repositories: Repositories, source: Desired | null, instanceId: string, signal: AbortSignal): Promise<void> {
  const instance = source === null ? undefined : servingInstance(source)
  const [member] = instance?.members ?? []
  // restored from a lineage that nobody writes to any more
  if (source === null || instance === undefined || member === undefined || instance.id !== instanceId) return
  const segment = await endSegment(tools, member.id, source, signal).catch((error: unknown) => {
    signal.throwIfAborted()
    // a source that does not answer is why some restore: what reached the archive before has to do
    if (error instanceof Error) return null
    throw error
  })
  if (segment !== null) await archived(repositories, `${instance.repository.path.slice(1)}/archive/${stanza}/`, segment, signal)
}

/** Waits until the segment is in the archive, or the limit is over: then the restore job meets the end of the archive and is tried again. */
async function archived({ store, bucket }: Repositories, archive: string, segment: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + archiveWaitMs
  while (performance.now() < deadline) {
    for (const history of await store.listPrefixes(bucket, archive, signal)) {
      for await (const _found of store.listObjects(bucket, `${history}${segment.slice(0, 16)}/${segment}`, signal)) return
    }
    await sleep(lookMs, undefined, { signal })
  }
}
