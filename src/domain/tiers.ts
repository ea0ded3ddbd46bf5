/** What each tier gives: the one table of sizes. Bytes, CPU cores, counts. */

export const tierNames = ['starter', 'standard', 'pro'] as const
export type TierName = (typeof tierNames)[number]

const mib = 1024 * 1024
const gib = 1024 * mib

export const topologies = ['standalone', 'ha'] as const
export type Topology = (typeof topologies)[number]

export interface Tier {
  readonly name: TierName
  /** What may be asked for: one server, or a cluster of three that fails over by itself. */
  readonly topologies: readonly Topology[]
  /** Memory limit of the member's container. */
  readonly memoryBytes: number
  /** CPU limit of the member's container, in cores. */
  readonly cpus: number
  readonly maxConnections: number
  /** Size of the data volume; a real limit where storage limits are enforced. */
  readonly storageBytes: number
  /** WAL that a replication slot may hold back before PostgreSQL gives it up, so that a dead consumer never fills the disk. */
  readonly walKeepBytes: number
  /** Bounds the time until a segment of WAL is shipped, hence how much a lost host can cost a standalone. */
  readonly archiveTimeoutSeconds: number
  readonly backups: {
    /** Cron expressions, in UTC. */
    readonly full: string
    readonly incremental: string
    readonly retentionDays: number
  }
}

export const tiers: Readonly<Record<TierName, Tier>> = {
  starter: {
    name: 'starter',
    topologies: ['standalone'],
    memoryBytes: 512 * mib,
    cpus: 1,
    maxConnections: 50,
    storageBytes: 5 * gib,
    walKeepBytes: gib,
    archiveTimeoutSeconds: 60,
    backups: { full: '0 2 * * 0', incremental: '0 2 * * 1-6', retentionDays: 7 },
  },
  standard: {
    name: 'standard',
    topologies: ['standalone', 'ha'],
    memoryBytes: 2 * gib,
    cpus: 2,
    maxConnections: 200,
    storageBytes: 20 * gib,
    walKeepBytes: 4 * gib,
    archiveTimeoutSeconds: 60,
    backups: { full: '0 2 * * 0', incremental: '0 2 * * 1-6', retentionDays: 14 },
  },
  pro: {
    name: 'pro',
    topologies: ['standalone', 'ha'],
    memoryBytes: 8 * gib,
    cpus: 4,
    maxConnections: 500,
    storageBytes: 100 * gib,
    walKeepBytes: 16 * gib,
    archiveTimeoutSeconds: 60,
    backups: { full: '0 2 * * 0', incremental: '0 */6 * * *', retentionDays: 30 },
  },
}
