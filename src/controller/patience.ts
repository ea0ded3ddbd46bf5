/**
 * Patience with what does not help: passes that do the same again and again, without an error and without getting anywhere,
 * come at longer and longer intervals. Kept in memory only: a controller that starts anew begins with none.
 */
import { backoffMs } from './backoff.ts'
import type { PassResult } from './pass.ts'

export interface Patience {
  /** How long this database should rest at least; 0 while its passes get somewhere. */
  restMs(databaseId: string, result: PassResult): number
}

/** The same so many times in a row is no progress: the longest honest row is the volumes of one database going one by one. */
export const honestRepeats = 20

export function createPatience(random: () => number = Math.random): Patience {
  const rows = new Map<string, { readonly doing: string; readonly times: number }>()
  return {
    restMs(databaseId, { actionKinds, recordKinds }) {
      const doing = [...actionKinds, ...recordKinds.filter((kind) => kind !== 'credentialSeen')].join()
      if (doing === '') {
        rows.delete(databaseId)
        return 0
      }
      const before = rows.get(databaseId)
      const times = before?.doing === doing ? before.times + 1 : 1
      rows.set(databaseId, { doing, times })
      return times <= honestRepeats ? 0 : backoffMs(times - honestRepeats, random())
    },
  }
}
