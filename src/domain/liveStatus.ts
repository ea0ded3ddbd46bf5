/**
 * What only a look at the engines can tell about a database's members right now. The API asks through this port and
 * shows null where nobody has looked: facts of this kind are never kept in the control database.
 */

/** `primary` and `standby` speak of one PostgreSQL server, `leader` and `replica` of a Patroni cluster. */
export const memberRoles = ['primary', 'standby', 'leader', 'replica'] as const
export type MemberRole = (typeof memberRoles)[number]

export const syncStates = ['sync', 'quorum', 'potential', 'async'] as const
export type SyncState = (typeof syncStates)[number]

export interface LiveMember {
  readonly memberId: string
  /** Full id on its engine; null when no container was seen. */
  readonly containerId: string | null
  readonly role: MemberRole | null
  readonly timeline: number | null
  /** Bytes of WAL that it has yet to replay; 0 for the one that accepts writes. */
  readonly lagBytes: number | null
  /** How commits wait for it; null for the one that accepts writes and where it is not known. */
  readonly syncState: SyncState | null
  /** Of a cluster's member, in Patroni's words; null of others and where it is not known. */
  readonly patroniState: string | null
}

export interface LiveStatus {
  /** Null when nothing is known of the database. Answers from what is kept: it never waits for an engine. */
  of(databaseId: string): Promise<readonly LiveMember[] | null>
}
