/**
 * Before a restore to a moment: has the source, if it lives, write and archive WAL beyond that moment. The source is not
 * changed otherwise. A source that is gone has what it has; the restore itself says whether that is enough.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { StoreRecord } from '../domain/action.ts'
import { servingInstance, type Desired } from '../domain/desired.ts'
import { describeError } from '../domain/errors.ts'
import type { Repositories } from './backups.ts'
import { stanza } from './backups.ts'
import { endSegment, type PostgresTools } from './postgres.ts'

/** Shipping a segment takes a second or two; a pass has to end within its own limit. */
const archiveWaitMs = 20_000
const lookMs = 300

/** What kept it from that, as an event of the restored database; never an error, because such a source is why some restore. */
export async function reachMoment(
  tools: PostgresTools, repositories: Repositories, source: Desired | null, instanceId: string, signal: AbortSignal, waitMs = archiveWaitMs,
): Promise<readonly StoreRecord[]> {
  const instance = source === null ? undefined : servingInstance(source)
  const member = instance?.members.find(({ id }) => id === instance.lastLeader?.memberId) ?? instance?.members[0]
  // restored from a lineage that nobody writes to any more
  if (source === null || instance === undefined || member === undefined || instance.id !== instanceId) return []
  const ended = await endSegment(tools, member.id, source, signal).catch((error: unknown) => {
    signal.throwIfAborted()
    if (error instanceof Error) return { trouble: `the source ${source.database.name} did not answer: ${describeError(error)}` }
    throw error
  })
  if (typeof ended !== 'string') return [told(ended.trouble)]
  const isArchived = await archived(repositories, `${instance.repository.path.slice(1)}/archive/${stanza}/`, ended, waitMs, signal)
  return isArchived ? [] : [told(`the segment ${ended} of the source ${source.database.name} did not reach the store within ${waitMs / 1_000} seconds`)]
}

function told(why: string): StoreRecord {
  const message = `The newest WAL could not be waited for: ${why}. The restore goes on with what is in the store; if that ends before the moment asked for, the restore says so and is tried again.`
  return { kind: 'event', note: { severity: 'warning', reason: 'SourceNotCaughtUp', message } }
}

/** Whether the segment is in the archive, waited for within the limit. */
async function archived({ store, bucket }: Repositories, archive: string, segment: string, waitMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + waitMs
  for (;;) {
    for (const history of await store.listPrefixes(bucket, archive, signal)) {
      for await (const _found of store.listObjects(bucket, `${history}${segment.slice(0, 16)}/${segment}`, signal)) return true
    }
    if (performance.now() >= deadline) return false
    await sleep(lookMs, undefined, { signal })
  }
}
