/** What the world was seen to be, in one pass, for one database. Every part is known or unknown on its own. */
import type { Lsn } from './lsn.ts'
import type { Sighting } from './sighting.ts'

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

export interface ContainerSeen {
  readonly id: string
  readonly name: string
  readonly state: ContainerState
  readonly labels: Readonly<Record<string, string>>
  /** When this state began, as far as the engine's events or list told. */
  readonly since: Date
  /** Of the last exit, where the inventory heard it; null otherwise. */
  readonly exitCode: number | null
}

export interface VolumeSeen {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

export interface NetworkSeen {
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** What one engine holds for one database: its containers, volumes, and the project's network. */
export interface EngineSeen {
  readonly containers: readonly ContainerSeen[]
  readonly volumes: readonly VolumeSeen[]
  readonly networks: readonly NetworkSeen[]
}

export interface SlotSeen {
  readonly name: string
  readonly active: boolean
  /** PostgreSQL's `wal_status`; `lost` means that WAL the consumer needs is gone. */
  readonly walStatus: string
  /** WAL held back by it, in bytes. */
  readonly retainedBytes: number
}

export interface RoleSeen {
  readonly name: string
  /** SCRAM verifier as stored; compared, never shown. */
  readonly verifier: string | null
  readonly canLogin: boolean
  readonly sessions: number
}

/** One row of `pg_stat_replication`. */
export interface WalSenderSeen {
  readonly applicationName: string
  readonly state: string
  /** `sync`, `quorum`, `potential` or `async`. */
  readonly syncState: string
  readonly flushLsn: Lsn | null
  readonly replayLsn: Lsn | null
  /** Of a copy that is being taken: how much of it was sent. */
  readonly copiedBytes: number | null
}

/** What a member's PostgreSQL said of itself. */
export interface PostgresSeen {
  readonly inRecovery: boolean
  readonly systemIdentifier: string
  readonly timeline: number
  /** Of a standby: the timeline of what is streamed to it now; null when nothing is, and of a primary. */
  readonly receivedTimeline: number | null
  readonly lsn: Lsn
  /** Hash of the configuration files it has loaded: the setting `holdfast.config_hash`. */
  readonly configHash: string
  /** Empty on a standby that nobody follows. */
  readonly walSenders: readonly WalSenderSeen[]
  readonly synchronousStandbyNames: string
  readonly slots: readonly SlotSeen[]
  readonly databases: readonly string[]
  readonly roles: readonly RoleSeen[]
  /** Bytes of the data volume, null while the member has not measured them. */
  readonly storage: { readonly totalBytes: number; readonly usedBytes: number } | null
  readonly databaseBytes: number
  readonly defaultReadOnly: boolean
  /** Version of the roles and functions that we keep inside: see render/sql. */
  readonly preparedVersion: string | null
}

/** What the WAL archive in the store holds, as the store itself lists it. */
export interface ArchiveSeen {
  /** Newest WAL file there, or null when the archive is empty. */
  readonly newestWalFile: string | null
  readonly newestAt: Date | null
}

/** What a member's Patroni says of itself over its REST API (`GET /patroni`). */
export interface PatroniReport {
  /** `running`, `starting`, `creating replica`, `start failed`, … */
  readonly state: string
  readonly role: 'leader' | 'replica' | 'standbyLeader' | 'none'
  readonly timeline: number | null
  readonly pendingRestart: boolean
  /** Of a replica that runs: `streaming`, `in archive recovery`; null when it gets WAL from nowhere. */
  readonly replicationState: string | null
}

export interface PatroniSeen extends PatroniReport {
  /** Since when every look, in this run of its container, found it doing the same: streaming, being copied, or neither. */
  readonly since: Date
}

/** What etcd holds of a cluster's scope. */
export interface ClusterSeen {
  /** System identifier of the cluster, from `/initialize`; null before its first member was made. */
  readonly systemIdentifier: string | null
  /** Patroni's name of the member that holds the leader key. */
  readonly leader: string | null
  /** `/sync`: whose commits wait for whom. */
  readonly sync: { readonly leader: string; readonly standbys: readonly string[] } | null
  /** Names of the members whose keys are there: their Patroni runs, or did until less than a lease ago. */
  readonly members: readonly string[]
  /** The dynamic configuration (`/config`) as JSON; null before it was written. */
  readonly config: unknown
  /** Whether user, role and prefix are there with the password of now. */
  readonly prepared: boolean
  /** No key at all lies below its prefix. */
  readonly isEmpty: boolean
}

export interface ProxySeen {
  /** Hash of the configuration that the running proxy has loaded. */
  readonly configHash: string
}

/** Result line of a job that has ended, and its last progress line while it runs. */
export interface JobSeen {
  readonly container: ContainerSeen
  readonly progress: JobProgress | null
  readonly result: JobResult | null
}

export interface JobProgress {
  readonly step: string
  readonly percent?: number | undefined
  readonly bytes?: number | undefined
  readonly totalBytes?: number | undefined
}

export type JobResult =
  | { readonly ok: true; readonly facts: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly code: string; readonly message: string }

export interface Observed {
  /** By host id. */
  readonly engines: ReadonlyMap<string, Sighting<EngineSeen>>
  /** By member id; only of members whose container runs. */
  readonly postgres: ReadonlyMap<string, Sighting<PostgresSeen>>
  /** By member id; only of clusters' members whose container runs. */
  readonly patroni: ReadonlyMap<string, Sighting<PatroniSeen>>
  /** By instance id, of clusters. */
  readonly clusters: ReadonlyMap<string, Sighting<ClusterSeen>>
  /** By `<endpointId>/<slot>`; only of proxies whose container runs. */
  readonly proxies: ReadonlyMap<string, Sighting<ProxySeen>>
  /** By instance id. */
  readonly archives: ReadonlyMap<string, Sighting<ArchiveSeen>>
  /** By job id. */
  readonly jobs: ReadonlyMap<string, Sighting<JobSeen>>
  /** Free image of the object store: whether it answered when last asked. */
  readonly objectStore: Sighting<true>
}
