/**
 * Lets a leader's key go, by one transaction that holds or not. Asked again until etcd has said which: a transaction that was carried
 * out moves both keys, so that a second one cannot hold. What a lost answer said is read back, never assumed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EtcdTxn } from '../clients/etcd.ts'
import { describeError, isHoldfastError } from '../domain/errors.ts'
import { readKeys, type KeyStore } from './keys.ts'
import { releaseTransaction } from './transaction.ts'
import type { KeysToRelease } from './verdict.ts'

export type ReleaseOutcome =
  | { readonly kind: 'released'; readonly attempts: number }
  /** Somebody else was there before: the key is not the judged one, or `/sync` has moved. Judge anew. */
  | { readonly kind: 'changed'; readonly leader: string | null; readonly attempts: number }
  /** etcd did not say within the time allowed. */
  | { readonly kind: 'unanswered'; readonly reason: string; readonly attempts: number }

/** Of one attempt; the client goes from one endpoint to the next within it. */
const attemptMs = 1_000
/** Between attempts that fail at once: an election takes half a second. */
const pauseMs = 50

/** `signal` bounds the whole. `syncValue`: see `releaseTransaction`. */
export async function releaseLeader(store: KeyStore, prefix: string, keys: KeysToRelease, signal: AbortSignal, syncValue?: string): Promise<ReleaseOutcome> {
  const txn = releaseTransaction(prefix, keys, syncValue)
  let reason = 'it was not asked'
  let isAmbiguous = false
  for (let attempts = 1; ; attempts += 1) {
    const answer = await attempt(store, txn, signal)
    if (answer.outcome === 'held') return { kind: 'released', attempts }
    if (answer.outcome === 'failed') {
      const now = await whatIsThere(store, prefix, signal)
      if (now.kind === 'read') return judgeFailed(keys, now.leader, isAmbiguous, attempts)
      reason = now.reason
    } else {
      reason = answer.reason
      isAmbiguous ||= answer.outcome === 'ambiguous'
    }
    if (signal.aborted) return { kind: 'unanswered', reason, attempts }
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
  }
}

/**
 * The comparisons did not hold. After an attempt whose answer was lost that may be our own doing: the key of the judged revision is gone,
 * which is all that was wanted, whoever did it.
 */
function judgeFailed(keys: KeysToRelease, leader: { readonly name: string; readonly modRevision: number } | null, isAmbiguous: boolean, attempts: number): ReleaseOutcome {
  const isJudgedKey = leader?.name === keys.leader && leader.modRevision === keys.leaderModRevision
  if (isAmbiguous && !isJudgedKey) return { kind: 'released', attempts }
  return { kind: 'changed', leader: leader?.name ?? null, attempts }
}

type Answer =
  | { readonly outcome: 'held' }
  | { readonly outcome: 'failed' }
  | { readonly outcome: 'ambiguous' | 'unavailable'; readonly reason: string }

async function attempt(store: KeyStore, txn: EtcdTxn, signal: AbortSignal): Promise<Answer> {
  try {
    const answer = await store.txn(txn, AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]))
    return answer.outcome === 'ambiguous' ? { outcome: 'ambiguous', reason: answer.reason } : { outcome: answer.outcome }
  } catch (error) {
    // our own limit may have cut off an attempt that was sent
    return { outcome: isUnsent(error) ? 'unavailable' : 'ambiguous', reason: describeError(error) }
  }
}

function isUnsent(error: unknown): boolean {
  return isHoldfastError(error) && error.code === 'EtcdUnavailable'
}

type There = { readonly kind: 'read'; readonly leader: { readonly name: string; readonly modRevision: number } | null } | { readonly kind: 'unread'; readonly reason: string }

async function whatIsThere(store: KeyStore, prefix: string, signal: AbortSignal): Promise<There> {
  try {
    const { leader } = await readKeys(store, prefix, { withLease: false }, signal)
    return { kind: 'read', leader }
  } catch (error) {
    return { kind: 'unread', reason: describeError(error) }
  }
}
