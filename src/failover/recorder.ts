/**
 * Keeps what the guard concluded until the control database has taken it. Bounded: while that is away for long, the oldest go,
 * and how many is told. Nothing of the guard waits for this.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../domain/errors.ts'
import type { FailoverRecord, FailoverRecorder } from '../domain/failover.ts'
import type { GuardLog } from './ports.ts'

export interface Recordings {
  /** Now, or as soon as it can be. A later telling of the same incident replaces one that still waits. */
  keep(incident: FailoverRecord): void
  readonly waiting: number
  /** Tries once more to write what waits, then gives up. */
  close(): Promise<void>
}

/** A few kilobytes each. */
const mostKept = 500
const retryMs = 1_000
const longestRetryMs = 30_000

export function keepRecordings(recorder: FailoverRecorder, log: GuardLog): Recordings {
  const waiting = new Map<string, FailoverRecord>()
  const end = new AbortController()
  let writing: Promise<void> | null = null

  const writeAll = async (): Promise<boolean> => {
    for (const [id, incident] of [...waiting]) {
      try {
        await recorder.record(incident)
      } catch (error) {
        log.warn({ waiting: waiting.size, reason: describeError(error) }, 'verdicts of the failover guard could not be written yet')
        return false
      }
      // told anew while it was being written: what was written is the older one
      if (waiting.get(id) === incident) waiting.delete(id)
    }
    return true
  }

  const run = async (): Promise<void> => {
    let pauseMs = retryMs
    while (waiting.size > 0 && !end.signal.aborted) {
      if (await writeAll()) continue
      await sleep(pauseMs, undefined, { signal: end.signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, longestRetryMs)
    }
  }

  return {
    keep(incident) {
      waiting.delete(incident.id)
      waiting.set(incident.id, incident)
      const [oldest] = waiting.keys()
      if (waiting.size > mostKept && oldest !== undefined) {
        waiting.delete(oldest)
        log.error({ verdictId: oldest, kept: mostKept }, 'a verdict of the failover guard was dropped unwritten')
      }
      writing ??= run().finally(() => { writing = null })
    },
    get waiting() {
      return waiting.size
    },
    async close() {
      end.abort(new Error('the guard ends'))
      await writing
      await writeAll()
    },
  }
}
