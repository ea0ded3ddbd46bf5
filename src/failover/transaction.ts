/**
 * The one transaction by which a leader's key goes. Pure: what is compared and what is done, in this order.
 *
 * It holds only while the key is the one that was judged (its value and its revision) and `/sync` has not moved since it was read.
 * It deletes the key, and then puts `/sync` again, unchanged: that gives `/sync` a new revision, so that every write of it which a
 * leader that is not as dead as it seems has under way fails, and with it the change of `synchronous_standby_names` that would follow.
 * Delete first: whoever reads between the two events sees no leader and the old `/sync`. The other order would show the old leader its
 * own key beside the new `/sync`, and its next write would succeed.
 */
import type { EtcdTxn } from '../clients/etcd.ts'
import type { KeysToRelease } from './verdict.ts'

/** Keys of a scope; `prefix` ends in a slash. */
export function leaderKey(prefix: string): string {
  return `${prefix}leader`
}

export function syncKey(prefix: string): string {
  return `${prefix}sync`
}

/** `syncValue`: what `/sync` says from then on; as it was, but for a planned move. */
export function releaseTransaction(prefix: string, keys: KeysToRelease, syncValue: string = keys.syncValue): EtcdTxn {
  return {
    when: [
      { key: leaderKey(prefix), value: keys.leader },
      { key: leaderKey(prefix), modRevision: keys.leaderModRevision },
      { key: syncKey(prefix), modRevision: keys.syncModRevision },
    ],
    then: [
      { kind: 'delete', key: leaderKey(prefix) },
      { kind: 'put', key: syncKey(prefix), value: syncValue },
    ],
  }
}

/**
 * `/sync` for a planned move: only the candidate may win. Safe because the leader is dead by then and the candidate was seen to hold
 * its last record: every acknowledged commit is before that. (In quorum mode another replica may still win with the candidate's vote,
 * which it gets only if it holds as much.) Quorum 0: the candidate needs nobody's vote.
 */
export function syncForMove(leader: string, candidate: string): string {
  return JSON.stringify({ leader, sync_standby: candidate, quorum: 0 })
}
