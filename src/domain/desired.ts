/**
 * What was asked for, as the control database holds it: everything a pass needs about one database,
 * loaded in one go. Plain data; secrets are opened and wrapped.
 */
import type { Condition } from './conditions.ts'
import type { Secret } from './secret.ts'
import type { TierName, Topology } from './tiers.ts'

export interface Host {
  readonly id: string
  readonly name: string
  /** Where its engine answers: `unix:///…` or `tcp://host:port`. */
  readonly engine: string
  /** Reached by controllers, containers and other hosts; internal ports are published on it. */
  readonly privateAddress: string
  readonly publicAddress: string
  readonly state: 'active' | 'draining' | 'lost'
}

export interface KeyPair {
  readonly certificatePem: string
  readonly keyPem: Secret
  readonly commonName: string
  /** DNS names and addresses it speaks for, sorted. */
  readonly names: readonly string[]
  readonly notBefore: Date
  readonly notAfter: Date
  readonly authorityId: string
}

export type CertificatePurpose = 'member' | 'agent' | 'endpointServer' | 'endpointClient'

export interface Member {
  readonly id: string
  readonly instanceId: string
  readonly hostId: string
  readonly ordinal: number
  /** Published on its host's private address. `patroni`: its REST API, of a cluster's member only. */
  readonly ports: { readonly postgres: number; readonly backup: number; readonly patroni: number | null }
  /** Size of its data volume as it was last made or grown; null before it was made. */
  readonly volumeBytes: number | null
}

/** Where a cluster keeps its leader key, and as whom: this user reaches the keys of this scope and no others. */
export interface ClusterScope {
  /** Patroni's scope; also the last part of its prefix in etcd. */
  readonly scope: string
  readonly user: string
  readonly password: Secret
}

/**
 * `preparing`: a cluster that will serve when an upgrade is done, and follows the serving server until then; after a rollback it is the
 * cluster that served. `rollbackTarget`: a server that follows the cluster: it served before an upgrade, or is made for a downgrade.
 * `retired`: is taken down, and its row goes with the last of it.
 */
export const instanceRoles = ['serving', 'restoring', 'preparing', 'rollbackTarget', 'retired'] as const
export type InstanceRole = (typeof instanceRoles)[number]

export interface Instance {
  readonly id: string
  readonly kind: 'standalone' | 'cluster'
  readonly role: InstanceRole
  readonly initialisedAt: Date | null
  readonly systemIdentifier: string | null
  readonly repository: { readonly path: string; readonly cipher: Secret }
  /** Null of a standalone. */
  readonly cluster: ClusterScope | null
  /** Of a cluster: who was seen to lead it last, and on which timeline; null before the first. */
  readonly lastLeader: { readonly memberId: string; readonly timeline: number } | null
  /** Of one that served, and follows until then in case of a way back; null of any other, also of one that is being made. */
  readonly keptUntil: Date | null
  readonly members: readonly Member[]
}

export interface Proxy {
  readonly slot: number
  readonly hostId: string
  readonly ports: { readonly rw: number; readonly ro: number; readonly pooled: number; readonly runtime: number }
}

export interface Endpoint {
  readonly id: string
  readonly hostName: string
  readonly proxies: readonly Proxy[]
}

export interface Credential {
  readonly id: string
  readonly roleName: string
  readonly password: Secret
  readonly verifier: Secret
  readonly createdAt: Date
  /** The end of the overlap after a rotation; null while current. */
  readonly endsAt: Date | null
  readonly endedAt: Date | null
}

export type BackupState = 'requested' | 'running' | 'verifying' | 'verified' | 'failed' | 'expired'

export interface Backup {
  readonly id: string
  readonly databaseId: string
  readonly instanceId: string
  readonly kind: 'full' | 'incremental'
  readonly trigger: 'initial' | 'scheduled' | 'manual' | 'final'
  readonly state: BackupState
  readonly attempt: number
  readonly label: string | null
  readonly requestedAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly verifiedAt: Date | null
  readonly stopLsn: string | null
  readonly databaseBytes: number | null
  readonly repositoryBytes: number | null
  readonly objectCount: number | null
  readonly failure: { readonly code: string; readonly message: string } | null
}

export const operationKinds = ['restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier', 'upgradeToHa', 'rollback', 'downgrade', 'rehearseUpgrade'] as const
export type OperationKind = (typeof operationKinds)[number]

export interface Operation {
  readonly id: string
  readonly kind: OperationKind
  readonly machineVersion: number
  readonly phase: string
  readonly input: unknown
  readonly notes: unknown
  readonly createdAt: Date
  readonly phaseEnteredAt: Date
  readonly progressedAt: Date
  readonly progress: unknown
}

/** A copy on which the upgrade of a database is tried, as far as whoever tries it wants to know. */
export interface Rehearsal {
  readonly databaseId: string
  readonly name: string
  readonly conditions: readonly Condition[]
  readonly isDeleting: boolean
  /** Nothing of it will be left, no backup either. */
  readonly leavesNothing: boolean
  /** The unfinished one, else the last one. */
  readonly operation: RehearsedOperation | null
}

export interface RehearsedOperation extends Pick<Operation, 'kind' | 'phase' | 'progress' | 'createdAt' | 'phaseEnteredAt'> {
  readonly finishedAt: Date | null
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | null
  readonly failure: { readonly code: string; readonly message: string; readonly next?: string | undefined } | null
}

/** In the order in which they are worked off. */
export const finalizers = ['finalBackup', 'containers', 'volumes', 'backups'] as const
export type Finalizer = (typeof finalizers)[number]

/**
 * Of a cluster. `strict`: a commit waits for every healthy replica, and never for none. `quorum`: it waits for any one of them,
 * so that a replica that hangs stalls nothing.
 */
export const durabilities = ['strict', 'quorum'] as const
export type Durability = (typeof durabilities)[number]

export interface Database {
  readonly id: string
  readonly name: string
  readonly databaseName: string
  readonly tier: TierName
  readonly topology: Topology
  readonly durability: Durability
  readonly storageBytes: number
  readonly allowList: readonly string[]
  readonly paused: boolean
  readonly images: { readonly postgres: string; readonly haproxy: string }
  readonly extraCertificateNames: readonly string[]
  readonly generation: number
  readonly observedGeneration: number
  readonly conditions: readonly Condition[]
  readonly createdAt: Date
  readonly deletionRequestedAt: Date | null
  readonly finalBackup: boolean
  readonly backupsKeptUntil: Date | null
  readonly finalizers: readonly Finalizer[]
  readonly removedAt: Date | null
  /** Of a copy on which an upgrade is rehearsed: whose. */
  readonly rehearsalOf: string | null
}

export interface Desired {
  readonly database: Database
  readonly team: { readonly id: string; readonly name: string; readonly haEnabled: boolean }
  readonly project: { readonly id: string; readonly name: string }
  readonly hosts: readonly Host[]
  /** The project's networks on the hosts that this database uses. */
  readonly networks: readonly { readonly hostId: string; readonly subnet: string }[]
  /** The project's networks go with its last database. */
  readonly lastOfProject: boolean
  readonly instances: readonly Instance[]
  readonly endpoint: Endpoint | null
  readonly credentials: readonly Credential[]
  readonly certificates: ReadonlyMap<string, KeyPair>
  /** Concatenated PEM of every authority that is trusted now. */
  readonly trustBundlePem: string
  readonly activeAuthorityId: string
  /** Newest first: of each instance all open ones and those that schedule and retention need. */
  readonly backups: readonly Backup[]
  readonly operation: Operation | null
  /** Its own copy, until nothing of that is left. */
  readonly rehearsal: Rehearsal | null
  /** While an endpoint is being taken over: the endpoint of the database it is taken from. */
  readonly peerEndpoint: { readonly databaseId: string; readonly endpoint: Endpoint } | null
}

export function certificateKey(purpose: CertificatePurpose, ownerId: string): string {
  return `${purpose}/${ownerId}`
}

export function servingInstance(desired: Desired): Instance | undefined {
  return instanceWith(desired, 'serving')
}

export function instanceWith(desired: Desired, role: InstanceRole): Instance | undefined {
  return desired.instances.find((instance) => instance.role === role)
}

/** It follows the serving instance: before it takes its place, or after it gave it up. */
export function isFollower({ role }: Instance): boolean {
  return role === 'preparing' || role === 'rollbackTarget'
}

/** Clients are between two instances: what serves and what stops is said by one sequence of its own. */
export function isMovingClients({ operation }: Desired): boolean {
  return operation !== null && movingKinds.has(operation.kind) && operation.phase === 'movingClients'
}

/** Those that move clients from one instance to the other, in their phase `movingClients`. */
export const movingKinds: ReadonlySet<OperationKind> = new Set(['upgradeToHa', 'rollback', 'downgrade'])

/** How long an instance that gave its place up follows, so that the way back is open. */
export const rollbackTargetKeptMs = 24 * 60 * 60_000

/** A cluster whose first member's data were restored, and whose members may be made around them: see the machine of `restore`. */
export function adoptingInstance({ instances, operation }: Desired): Instance | undefined {
  if (operation?.kind !== 'restore' || operation.phase !== 'adopting') return undefined
  return instances.find((instance) => instance.role === 'restoring' && instance.kind === 'cluster')
}

export function hostOf(desired: Desired, hostId: string): Host {
  const host = desired.hosts.find((candidate) => candidate.id === hostId)
  if (host === undefined) throw new Error(`host ${hostId} is not among the hosts of database ${desired.database.id}`)
  return host
}
