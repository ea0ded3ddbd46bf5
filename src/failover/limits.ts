/** How long the guard waits before it believes something. Each is what the goal of its class leaves after the election (0.5 s). */

/** Keys and answers older than this are not evidence any more. */
export const freshMs = 2_000

/** An event that was this long on its way may have been overtaken by another run of the container: the engine is asked instead. */
export const eventFreshMs = 1_000

/** A pause that is over sooner is somebody's snapshot, not an outage. */
export const pausedMs = 500

/** Silence of a container that runs: longer than a full run queue or a slow handshake. */
export const silentMs = 1_000
export const silentRounds = 3
/** Silence of everything on the leader, with nothing else that speaks against it: the price of an error is an election. */
export const leaderSilentMs = 1_500
export const leaderSilentRounds = 4

/** Patroni renews its lease every second; a cycle of its own may take one more. Whole seconds are rounded down: three below what was granted is more than two. */
export const leaseOverdueSeconds = 3

/** New connections only, while queries and Patroni answer: a postmaster that is stopped, or a machine at its limit. */
export const connectSilentMs = 8_000
export const connectSilentRounds = 4

/** A replica that stalls nothing may take its time. */
export const idleReplicaSilentMs = 5_000
/** Patroni of a replica alone: without it the replica leaves the cluster when its lease ends, at 20 s. */
export const replicaPatroniSilentMs = 15_000
/** An idle replica answers its sender at least every half of `wal_sender_timeout` (3 s). */
export const replyOverdueMs = 1_800

/** `last_msg_receipt_time` moves at least every half of `wal_sender_timeout` (3 s), as long as the sender lives. */
export const unheardMs = 2_000
/** What a replica said earlier than this does not tell what it has heard since. */
export const opinionFreshMs = 500
/** One round may be lost; two in a row on three ways (engine, Patroni, PostgreSQL) are not. */
export const hostSilentRounds = 2

/** Patroni's own cycle comes every second: waking it is worth something only right after the event. */
export const wakeForMs = 3_000

/** Our own timers were this late: what we took for silence may have been our own sleep. */
export const lateMs = 250
/** After that, as long as silences take to be believed. */
export const awakeMs = 1_500

/** Somebody who answers this long after its container was seen dead is not in that container. */
export const ghostMs = 500
