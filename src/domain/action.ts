/**
 * Actions change engines, databases and buckets; records change the control database. A pass decides on both,
 * applies the actions, writes the records, and looks again. Each may be repeated without harm.
 */
import type { Blueprint } from './blueprint.ts'
import type { ConditionClaim } from './conditions.ts'
import type { BackupState, CertificatePurpose, Finalizer } from './desired.ts'

/** What a job container is to do; rendering knows how. */
export type JobOrder =
  | { readonly job: 'backup'; readonly jobId: string; readonly instanceId: string; readonly kind: 'full' | 'incremental' }
  | { readonly job: 'verify'; readonly jobId: string; readonly instanceId: string; readonly label: string }
  | {
      readonly job: 'restore'
      readonly jobId: string
      readonly instanceId: string
      readonly source: RestoreSource
    }

export interface RestoreSource {
  readonly databaseId: string
  readonly instanceId: string
  readonly label: string
  /** ISO time to recover to; null recovers to the end of the backup itself. */
  readonly targetTime: string | null
}

/** What clients of the read-write port meet while they are moved. `hold`: all of them wait. `readOnly`: reads go on, and PostgreSQL refuses writes (25006). */
export const clientWindows = ['hold', 'readOnly'] as const
export type ClientWindow = (typeof clientWindows)[number]

export type Action =
  | { readonly kind: 'createNetwork'; readonly hostId: string; readonly name: string; readonly subnet: string; readonly projectId: string }
  | { readonly kind: 'removeNetwork'; readonly hostId: string; readonly name: string }
  | { readonly kind: 'createDataVolume'; readonly hostId: string; readonly memberId: string; readonly instanceId: string; readonly databaseId: string; readonly name: string; readonly bytes: number }
  | { readonly kind: 'growDataVolume'; readonly hostId: string; readonly memberId: string; readonly name: string; readonly bytes: number }
  | { readonly kind: 'createContainer'; readonly blueprint: Blueprint }
  | { readonly kind: 'startContainer'; readonly hostId: string; readonly containerId: string; readonly name: string }
  /**
   * `drains`: the replica in it; its readers are led elsewhere first, as far as they let themselves. `returns`: the only server of the
   * database is in it and comes back at once; its clients wait meanwhile.
   */
  | { readonly kind: 'stopContainer'; readonly hostId: string; readonly containerId: string; readonly name: string; readonly timeoutSeconds: number; readonly drains?: { readonly instanceId: string; readonly memberId: string }; readonly returns?: true }
  | { readonly kind: 'removeContainer'; readonly hostId: string; readonly containerId: string; readonly name: string }
  | { readonly kind: 'installFiles'; readonly blueprint: Blueprint; readonly containerId: string }
  | { readonly kind: 'prepareDatabase'; readonly memberId: string }
  | { readonly kind: 'setReadOnly'; readonly memberId: string; readonly readOnly: boolean }
  | { readonly kind: 'dropSlot'; readonly memberId: string; readonly slot: string }
  | { readonly kind: 'startJob'; readonly order: JobOrder }
  /** `memberId`: of a data volume, whose disk goes as well, also when the engine's volume is gone already. */
  | { readonly kind: 'removeVolume'; readonly hostId: string; readonly name: string; readonly memberId: string | null }
  /** User, role and prefix of a cluster in etcd, and the dynamic configuration that its members find when they start. */
  | { readonly kind: 'prepareScope'; readonly instanceId: string; readonly configuration: Readonly<Record<string, unknown>> }
  /** Deletes everything of the cluster's prefix, and its user and role. Only when none of its members is there any more. */
  | { readonly kind: 'removeScope'; readonly instanceId: string }
  /** Merges `patch` into the cluster's dynamic configuration, through Patroni. */
  | { readonly kind: 'configureCluster'; readonly instanceId: string; readonly patch: Readonly<Record<string, unknown>> }
  /** A planned move of a healthy leader. `candidateId`: a member id; null: the best synchronous replica. */
  | { readonly kind: 'switchover'; readonly instanceId: string; readonly leaderId: string; readonly candidateId: string | null }
  /** Restarts PostgreSQL in its place, under its Patroni, for settings that wait for that. */
  | { readonly kind: 'restartPostgres'; readonly instanceId: string; readonly memberId: string }
  /** Throws a replica's data away; it is made anew and copied from the leader. Refused for the leader. `because`: a clause for the event. */
  | { readonly kind: 'reinitialiseMember'; readonly instanceId: string; readonly memberId: string; readonly because: string }
  /** Ends a container of a cluster's member that hangs; its data stay. */
  | { readonly kind: 'killContainer'; readonly hostId: string; readonly containerId: string; readonly name: string }
  /** Asks who serves what stands in the way of an upgrade or a downgrade; answers with the record `operationNoted`. */
  | { readonly kind: 'surveySource'; readonly operationId: string; readonly memberId: string; readonly again: boolean }
  /** Of a server that follows: its physical slot holds nothing from before `lsn` any more. */
  | { readonly kind: 'advanceSlot'; readonly memberId: string; readonly slot: string; readonly lsn: string }
  /** A physical slot that holds WAL from now on. */
  | { readonly kind: 'makeSlot'; readonly memberId: string; readonly slot: string }
  /**
   * Moves clients from the instance that serves to the one that follows it; answers with the record `operationNoted`. `settleOnly`: it
   * was begun before; whatever was begun is brought to an end, forward or back, and nothing new is begun.
   */
  | { readonly kind: 'cutOver'; readonly operationId: string; readonly fromId: string; readonly toId: string; readonly budgetMs: number; readonly window: ClientWindow; readonly settleOnly: boolean }
  /** Starts PostgreSQL in a container that runs without it, as far as the volume lets it start. */
  | { readonly kind: 'startServer'; readonly hostId: string; readonly containerId: string; readonly name: string }
  /** Winds a former server back to where its timeline parts from that of the cluster it follows; nothing when it does not. Only of a fenced volume. */
  | { readonly kind: 'rewindServer'; readonly hostId: string; readonly containerId: string; readonly name: string; readonly leaderId: string }
  | { readonly kind: 'readBackBackup'; readonly backupId: string; readonly instanceId: string; readonly label: string }
  | { readonly kind: 'expireBackups'; readonly instanceId: string }
  /** Empties the repositories; when the store is seen empty it answers with the record `finalizerDone backups`. */
  | { readonly kind: 'purgeRepositories'; readonly instanceIds: readonly string[] }

export type ActionKind = Action['kind']

/** Stops, restarts or replaces something that serves: at most one of these a pass. */
export function isDisruptive(action: Action): boolean {
  switch (action.kind) {
    case 'stopContainer':
    case 'removeContainer':
    case 'removeNetwork':
    case 'removeVolume':
    case 'purgeRepositories':
    case 'removeScope':
    case 'switchover':
    case 'restartPostgres':
    case 'reinitialiseMember':
    case 'killContainer':
    case 'cutOver':
    case 'rewindServer':
      return true
    case 'prepareScope':
    case 'configureCluster':
    case 'createNetwork':
    case 'createDataVolume':
    case 'growDataVolume':
    case 'createContainer':
    case 'startContainer':
    case 'installFiles':
    case 'prepareDatabase':
    case 'setReadOnly':
    case 'dropSlot':
    case 'startJob':
    case 'surveySource':
    case 'makeSlot':
    case 'advanceSlot':
    case 'startServer':
    case 'readBackBackup':
    case 'expireBackups':
      return false
  }
}

export interface EventNote {
  readonly severity: 'info' | 'warning' | 'error'
  /** CamelCase, stable. */
  readonly reason: string
  readonly message: string
  readonly facts?: Readonly<Record<string, unknown>>
}

export type StoreRecord =
  | { readonly kind: 'issueCertificate'; readonly purpose: CertificatePurpose; readonly ownerId: string; readonly commonName: string; readonly names: readonly string[]; readonly usage: 'server' | 'client' | 'both' }
  | { readonly kind: 'instanceInitialised'; readonly instanceId: string; readonly systemIdentifier: string }
  /** Another member leads than the one that was written down. */
  | { readonly kind: 'leaderSeen'; readonly instanceId: string; readonly memberId: string; readonly timeline: number }
  | { readonly kind: 'instanceRole'; readonly instanceId: string; readonly role: 'serving' | 'restoring' | 'retired' }
  /** Nothing of a retired instance is left anywhere. */
  | { readonly kind: 'instanceGone'; readonly instanceId: string }
  /** The prepared instance serves from now on, and the former one follows it for as long: its lineage of backups goes with the data. */
  | { readonly kind: 'placesChanged'; readonly fromId: string; readonly toId: string; readonly systemIdentifier: string; readonly keptForMs: number }
  /** What an action found out for the operation that asked for it. */
  | { readonly kind: 'operationNoted'; readonly operationId: string; readonly notes: Readonly<Record<string, unknown>> }
  /** A copy of the database is to be restored from its newest backup; what stands in the way is noted as `refused`. */
  | { readonly kind: 'rehearsalMade'; readonly operationId: string }
  /** The copy is to be upgraded, on the terms of the rehearsal; what stands in the way is noted as `refused`. */
  | { readonly kind: 'rehearsalUpgradeOrdered'; readonly operationId: string; readonly input: Readonly<Record<string, unknown>> }
  /** The copy is to be deleted, and its backups with it. */
  | { readonly kind: 'rehearsalRemoved' }
  | { readonly kind: 'requestBackup'; readonly instanceId: string; readonly backup: 'full' | 'incremental'; readonly trigger: 'initial' | 'scheduled' | 'final' }
  | { readonly kind: 'backupState'; readonly backupId: string; readonly state: BackupState; readonly facts?: BackupFacts }
  /** The data volume of a member was made, or grown, to this size; null: it was removed with its disk. */
  | { readonly kind: 'volumeSized'; readonly memberId: string; readonly bytes: number | null }
  /** Names that this database's certificates carry beside its endpoint's own. */
  | { readonly kind: 'extraCertificateNames'; readonly names: readonly string[] }
  /** The two databases exchange their endpoints, in one transaction; both are woken. */
  | { readonly kind: 'swapEndpoints'; readonly withDatabaseId: string }
  | { readonly kind: 'credentialEnded'; readonly credentialId: string }
  | { readonly kind: 'credentialSeen'; readonly credentialId: string }
  /** `networksStay`: of `volumes`, the project's networks were left to its other databases; with none of them left, it is not done. */
  | { readonly kind: 'finalizerDone'; readonly finalizer: Finalizer; readonly networksStay?: true }
  | { readonly kind: 'event'; readonly note: EventNote }

export interface BackupFacts {
  readonly label?: string
  readonly startLsn?: string
  readonly stopLsn?: string
  readonly databaseBytes?: number
  readonly repositoryBytes?: number
  readonly objectCount?: number
  readonly failure?: { readonly code: string; readonly message: string }
  /** Begin once more under a new job name. */
  readonly nextAttempt?: boolean
}

/** What a pass decided. */
export interface Plan {
  readonly actions: readonly Action[]
  readonly records: readonly StoreRecord[]
  readonly conditions: readonly ConditionClaim[]
  /** Nothing is left to do for this generation. */
  readonly settled: boolean
  /** Look again then, in milliseconds; null: at the next resync. */
  readonly requeueAfterMs: number | null
  /** What is waited for, one sentence each. */
  readonly waitingFor: readonly string[]
}
