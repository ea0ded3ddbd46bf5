/** What the store hands to the API: names and states, never a password, a key or a sealed text. */
import type { Condition } from '../domain/conditions.ts'
import type { Backup, Durability, Finalizer, InstanceRole, OperationKind } from '../domain/desired.ts'
import type { FailoverRecord } from '../domain/failover.ts'
import type { TierName, Topology } from '../domain/tiers.ts'

export interface Page<T> {
  readonly items: readonly T[]
  /** Give it back as `cursor` for the next page; null on the last one. */
  readonly nextCursor: string | null
}

export interface TeamView {
  readonly id: string
  readonly name: string
  /** Whether it may ask for clusters. */
  readonly haEnabled: boolean
  readonly createdAt: Date
}

export interface ProjectView {
  readonly id: string
  readonly name: string
  readonly team: { readonly id: string; readonly name: string }
  readonly networks: readonly { readonly hostId: string; readonly subnet: string }[]
  readonly createdAt: Date
}

/** What a member was last seen to be; every field is null until somebody looked. */
export interface MemberStatus {
  readonly role: string | null
  readonly containerId: string | null
  readonly timeline: number | null
  readonly lagBytes: number | null
  readonly syncState: string | null
  /** Of a cluster's member: `running`, `starting`, `creating replica`, … */
  readonly patroniState: string | null
}

export interface MemberView extends MemberStatus {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly ordinal: number
}

export interface InstanceView {
  readonly id: string
  readonly kind: 'standalone' | 'cluster'
  readonly role: InstanceRole
  readonly initialisedAt: Date | null
  /** Of one that served, and follows until then in case of a way back; null of any other. */
  readonly keptUntil: Date | null
  readonly createdAt: Date
  readonly members: readonly MemberView[]
}

export interface EndpointPorts {
  readonly rw: number
  readonly ro: number
  readonly pooled: number
}

export interface EndpointView {
  readonly id: string
  readonly host: string
  /** Of the first proxy. */
  readonly ports: EndpointPorts
  /** Those that are in use, by slot: of a cluster both, either of which does. */
  readonly proxies: readonly { readonly slot: number; readonly host: string; readonly ports: EndpointPorts }[]
}

export interface LastFailover {
  readonly at: Date
  /** How long no write could be acknowledged; null when it was not measured. */
  readonly writeGapMs: number | null
  readonly reason: string
  /** Of the team's events; to be explained. */
  readonly eventSeq: number | null
}

/** An incident as it was recorded, and the events that tell of it. */
export interface FailoverView extends Omit<FailoverRecord, 'notes'> {
  readonly eventSeq: number | null
  readonly outcomeEventSeq: number | null
}

export interface CredentialView {
  readonly id: string
  readonly roleName: string
  readonly createdAt: Date
  /** The end of the overlap after a rotation; null while current. */
  readonly endsAt: Date | null
  readonly endedAt: Date | null
  /** When a session of this role was last seen, to know who still uses an old password. */
  readonly lastSeenAt: Date | null
}

export interface OperationView {
  readonly id: string
  readonly databaseId: string
  readonly kind: OperationKind
  readonly machineVersion: number
  readonly phase: string
  readonly waitingFor: string | null
  readonly input: unknown
  readonly notes: unknown
  readonly progress: unknown
  readonly requestedBy: string
  readonly createdAt: Date
  readonly phaseEnteredAt: Date
  readonly progressedAt: Date
  readonly finishedAt: Date | null
  readonly outcome: OperationOutcome | null
  readonly failure: Failure | null
}

export type OperationOutcome = 'succeeded' | 'failed' | 'cancelled'

export interface Failure {
  readonly code: string
  readonly message: string
  /** What to do about it. */
  readonly next?: string | undefined
}

export interface BackupsSummary {
  /** Backups that were read back and are still kept. */
  readonly verified: number
  readonly repositoryBytes: number
  readonly newestVerifiedAt: Date | null
  readonly newest: Backup | null
}

export interface DeletionView {
  readonly requestedAt: Date
  readonly finalBackup: boolean
  readonly backupsKeptUntil: Date | null
  /** What is still to be done, in order. */
  readonly finalizers: readonly Finalizer[]
  /** Everything but the backups is gone since. */
  readonly removedAt: Date | null
}

export interface DatabaseView {
  readonly id: string
  readonly name: string
  readonly databaseName: string
  readonly team: { readonly id: string; readonly name: string }
  readonly project: { readonly id: string; readonly name: string }
  readonly tier: TierName
  readonly topology: Topology
  readonly durability: Durability
  /** Of a copy on which an upgrade is rehearsed: whose. */
  readonly rehearsalOf: string | null
  readonly storageBytes: number
  readonly allowList: readonly string[]
  readonly paused: boolean
  readonly generation: number
  readonly observedGeneration: number
  readonly createdAt: Date
  readonly conditions: readonly Condition[]
  /** The unfinished one; else the last one; else null. */
  readonly operation: OperationView | null
  /** The last time that another member came to lead because its leader was gone; null before the first. */
  readonly lastFailover: LastFailover | null
  readonly instances: readonly InstanceView[]
  /** Null once the database has been removed. */
  readonly endpoint: EndpointView | null
  readonly credentials: readonly CredentialView[]
  readonly backups: BackupsSummary
  readonly deletion: DeletionView | null
  /** When a pass of the loop last ended, and with what error if it failed. */
  readonly lastPassAt: Date | null
  readonly lastError: Failure | null
}

export interface EventView {
  readonly seq: number
  readonly at: Date
  readonly databaseId: string | null
  readonly operationId: string | null
  readonly severity: 'info' | 'warning' | 'error'
  readonly reason: string
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

export interface TokenView {
  readonly id: string
  readonly teamId: string | null
  readonly name: string
  readonly role: TokenRole
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly lastUsedAt: Date | null
}

export type TokenRole = 'admin' | 'member'

export interface AuditView {
  readonly id: number
  readonly at: Date
  readonly tokenId: string | null
  readonly teamId: string | null
  readonly action: string
  readonly target: string | null
  readonly requestId: string
  readonly facts: Readonly<Record<string, unknown>>
}

export interface KeptCopy {
  readonly id: string
  readonly objectKey: string
  readonly bytes: number
  readonly takenAt: Date
  readonly verifiedAt: Date | null
}
