/**
 * The control database as the other rooms see it: one group of functions per noun.
 *
 * Every write of the loop takes the lease of its pass and throws `LeaseLost` when another controller holds the database
 * by now. Every write of the API takes the `Actor`, and its audit entry is part of the same transaction. Any function may
 * throw `ControlDatabaseUnavailable`; nothing was changed then, unless its message says that it may have been.
 */
import type { Pool } from 'pg'
import { z } from 'zod'
import type { Keyring } from '../domain/keyring.ts'
import { auditStore, type AuditStore } from './audit.ts'
import { backupStore, type BackupStore } from './backups.ts'
import { certificateStore, type CertificateStore } from './certificates.ts'
import { databaseStore, type DatabaseStore } from './databases.ts'
import { desiredStore, type DesiredStore } from './desired.ts'
import { dutyStore, type DutyStore } from './duties.ts'
import { eventStore, type EventStore } from './events.ts'
import { failoverStore, type FailoverStore } from './failovers.ts'
import { hostStore, type HostStore } from './hosts.ts'
import { installationStore, type InstallationStore } from './installation.ts'
import { keptCopyStore, type KeptCopyStore } from './keptCopies.ts'
import { keyStore, type KeyStore } from './keys.ts'
import { operationStore, type OperationStore } from './operations.ts'
import type { Provisioning } from './provision.ts'
import { projectStore, type ProjectStore } from './projects.ts'
import { queueStore, type QueueStore } from './queue.ts'
import { recordStore, type RecordStore } from './records.ts'
import { time } from './sql.ts'
import { teamStore, type TeamStore } from './teams.ts'
import { tokenStore, type TokenStore } from './tokens.ts'
import { controlDatabase } from './transaction.ts'

export type { Actor, AuditEntry } from './actor.ts'
export type { PurgeDue } from './backups.ts'
export type { AuthorityRecord, IssuedCertificate, TrustedAuthority } from './certificates.ts'
export type { ClusterOrder } from './clusterOperations.ts'
export type { NewDatabase, RestoredDatabase } from './createDatabase.ts'
export type { IssuedCredential } from './credentials.ts'
export type { DeletionRequest } from './deletion.ts'
export type { DutyClaim, DutyLease } from './duties.ts'
export type { NewEvent } from './events.ts'
export type { Lease } from './lease.ts'
export type { DatabaseFilter } from './listDatabases.ts'
export { initialPhase, type OperationResult, type OperationStep } from './operations.ts'
export type { DatabasePatch } from './patchDatabase.ts'
export type { NetworkPool, PortRange, PortRanges } from './ports.ts'
export type { Provisioning } from './provision.ts'
export type { ClaimOptions, QueueDepth, SettledState } from './queue.ts'
export type { Release } from './release.ts'
export type { RestorePoint } from './restoreSource.ts'
export type { OperationRequest } from './startOperation.ts'
export type { NewToken, Principal } from './tokens.ts'
export type {
  AuditStore, BackupStore, CertificateStore, DatabaseStore, DesiredStore, DutyStore, EventStore, FailoverStore, HostStore,
  InstallationStore, KeptCopyStore, KeyStore, OperationStore, ProjectStore, QueueStore, RecordStore, TeamStore, TokenStore,
}

export interface StoreOptions {
  readonly pool: Pool
  readonly keyring: Keyring
  /** What databases are made with that passes make; left out: none makes any. */
  readonly provisioning?: Provisioning
}

export interface Store {
  readonly installation: InstallationStore
  readonly teams: TeamStore
  readonly projects: ProjectStore
  readonly hosts: HostStore
  readonly databases: DatabaseStore
  readonly desired: DesiredStore
  readonly queue: QueueStore
  readonly records: RecordStore
  readonly operations: OperationStore
  readonly events: EventStore
  readonly backups: BackupStore
  readonly certificates: CertificateStore
  readonly tokens: TokenStore
  readonly audit: AuditStore
  readonly duties: DutyStore
  readonly controlBackups: KeptCopyStore
  readonly etcdSnapshots: KeptCopyStore
  readonly failovers: FailoverStore
  readonly keys: KeyStore
  /** Whether the control database answers, and its clock. */
  ping(): Promise<{ readonly now: Date }>
}

const pingRow = z.object({ now: time })

export function createStore({ pool, keyring, provisioning }: StoreOptions): Store {
  const database = controlDatabase(pool)
  return {
    installation: installationStore(database),
    teams: teamStore(database),
    projects: projectStore(database),
    hosts: hostStore(database),
    databases: databaseStore(database, keyring),
    desired: desiredStore(database, keyring),
    queue: queueStore(database),
    records: recordStore(database, keyring, provisioning ?? null),
    operations: operationStore(database),
    events: eventStore(database),
    backups: backupStore(database, keyring),
    certificates: certificateStore(database, keyring),
    tokens: tokenStore(database),
    audit: auditStore(database),
    duties: dutyStore(database),
    controlBackups: keptCopyStore(database, 'control_backups'),
    etcdSnapshots: keptCopyStore(database, 'etcd_snapshots'),
    failovers: failoverStore(database),
    keys: keyStore(database, keyring),
    ping: () => database.one(pingRow, `select clock_timestamp() as now`),
  }
}
