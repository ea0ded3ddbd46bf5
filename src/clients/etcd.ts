/**
 * etcd over its JSON gateway and mutual TLS: typed in, parsed out, a deadline and an abort signal on every call. No policy.
 * A call that may run twice is tried at one endpoint after the other, and at the next one already when an answer is late.
 * A write whose answer was lost is `ambiguous`: whoever asked has to read back.
 */
import type { Secret } from '../domain/secret.ts'
import { authClient, type EtcdAuth } from './etcd/auth.ts'
import { clusterClient, type EtcdCluster } from './etcd/cluster.ts'
import { keyClient, type EtcdKeys } from './etcd/keys.ts'
import { openSession } from './etcd/session.ts'
import { openTransport } from './etcd/transport.ts'
import { watchPrefix, type EtcdNews } from './etcd/watch.ts'

export type { EtcdAuth, EtcdUser } from './etcd/auth.ts'
export type { EtcdAlarm, EtcdCluster, EtcdMember, EtcdStatus } from './etcd/cluster.ts'
export type { EtcdChange, EtcdCompare, EtcdEntry, EtcdFound, EtcdKeys, EtcdLease, EtcdListing, EtcdOperation, EtcdTxn, EtcdTxnAnswer, EtcdWritten } from './etcd/keys.ts'
export { etcdRefusalOf, type EtcdRefusal } from './etcd/refusals.ts'
export type { EtcdNews } from './etcd/watch.ts'

export interface EtcdEndpoint {
  /** An address that this process and every container reach. */
  readonly host: string
  readonly port: number
  /** What the server's certificate has to carry: a name, or the address itself. */
  readonly serverName: string
}

/** Each part is read when it is needed, never kept: certificates are renewed and trust changes, so they may be getters. */
export interface EtcdAccess {
  readonly endpoints: readonly EtcdEndpoint[]
  /** Every authority that is trusted; null: the public ones. */
  readonly caPem: string | null
  /** What to show; null: nothing, for an etcd that wants nothing. */
  readonly certificatePem: string | null
  readonly keyPem: Secret | null
  readonly user: string
  readonly password: Secret
}

/**
 * Errors of every call: `EtcdUnavailable` (no endpoint answered in time, no quorum, a refused certificate), `Internal` with
 * etcd's own words (see `etcdRefusalOf`), and the caller's own abort reason.
 */
export interface EtcdClient extends EtcdKeys {
  /**
   * Lists the prefix, then tells every change below it, for ever: after a lost connection it says so and lists anew. What
   * is listed replaces all that was known. A member that is frozen or has lost its quorum is left within two seconds.
   */
  watchPrefix(prefix: string, signal: AbortSignal): AsyncGenerator<EtcdNews, void, undefined>
  readonly auth: EtcdAuth
  readonly cluster: EtcdCluster
  /** Ends what is under way and closes the connections. */
  close(): Promise<void>
}

export interface EtcdOptions {
  /** For one answer of one endpoint. */
  readonly attemptMs?: number
}

/** An answer takes a few milliseconds; one that takes longer than an election and a half is tried elsewhere. */
const attemptMs = 1_000

/** Opens nothing yet; each call connects as it needs, and connections are kept. */
export function connectEtcd(access: EtcdAccess, options: EtcdOptions = {}): EtcdClient {
  const transport = openTransport(access)
  const session = openSession(transport, access, options.attemptMs ?? attemptMs)
  return {
    ...keyClient(session),
    watchPrefix: (prefix, signal) => watchPrefix(session, prefix, signal),
    auth: authClient(session),
    cluster: clusterClient(session),
    close: () => transport.close(),
  }
}
