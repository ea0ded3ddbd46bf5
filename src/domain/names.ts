/**
 * Names and labels of everything we make on an engine. Deterministic, so that every action may run twice;
 * they carry the installation's id, so that two installations (or a test's sweep) never meet.
 */

export const labelPrefix = 'io.holdfast.'

export const label = {
  installation: `${labelPrefix}installation`,
  kind: `${labelPrefix}kind`,
  project: `${labelPrefix}project`,
  database: `${labelPrefix}database`,
  instance: `${labelPrefix}instance`,
  member: `${labelPrefix}member`,
  endpoint: `${labelPrefix}endpoint`,
  job: `${labelPrefix}job`,
  generation: `${labelPrefix}generation`,
  /** Hash of what a container was created from; another hash means it has to be made anew. */
  spec: `${labelPrefix}spec`,
  /** Set on the marker volume: the host's UUID. */
  host: `${labelPrefix}host`,
  /** Set by tests: everything of one test run. */
  run: `${labelPrefix}run`,
} as const

export type ResourceKind =
  | 'member' | 'pod' | 'agent' | 'endpoint' | 'job' | 'volume' | 'network'
  | 'controlDatabase' | 'objectStore' | 'etcd' | 'disks' | 'marker'

/** The part of a UUID that names carry: 12 hex digits of its random end. Labels carry it whole. */
export function shortId(id: string): string {
  return id.replaceAll('-', '').slice(-12)
}

export interface ResourceNames {
  readonly marker: string
  network(projectId: string): string
  member(memberId: string): string
  /** Owns the network namespace of a cluster's member. */
  pod(memberId: string): string
  dataVolume(memberId: string): string
  memberConfVolume(memberId: string): string
  agent(instanceId: string): string
  agentConfVolume(instanceId: string): string
  walVolume(instanceId: string): string
  endpoint(endpointId: string, slot: number): string
  /** Of the database, not of the endpoint: it stays where it is when the endpoint is taken over. */
  endpointConfVolume(databaseId: string, slot: number): string
  job(jobId: string): string
}

export function resourceNames(installation: string): ResourceNames {
  const name = (kind: string, id: string): string => `${installation}-${kind}-${shortId(id)}`
  return {
    marker: `${installation}-host`,
    network: (id) => name('net', id),
    member: (id) => name('db', id),
    pod: (id) => name('pod', id),
    dataVolume: (id) => name('data', id),
    memberConfVolume: (id) => name('dbconf', id),
    agent: (id) => name('agent', id),
    agentConfVolume: (id) => name('agentconf', id),
    walVolume: (id) => name('wal', id),
    endpoint: (id, slot) => `${name('ep', id)}-${slot}`,
    endpointConfVolume: (id, slot) => `${name('epconf', id)}-${slot}`,
    job: (jobId) => `${installation}-job-${jobId}`,
  }
}

/** A job's id says what it is for and which attempt it is: asking twice finds the same container. */
export const jobId = {
  backup: (backupId: string, attempt: number): string => `${shortId(backupId)}-backup-${attempt}`,
  verify: (backupId: string, attempt: number): string => `${shortId(backupId)}-verify-${attempt}`,
  restore: (operationId: string, attempt: number): string => `${shortId(operationId)}-restore-${attempt}`,
} as const

/** What Patroni, etcd and `synchronous_standby_names` call a member. */
export function patroniName(memberId: string): string {
  return `m${shortId(memberId)}`
}

/** Of a cluster in etcd, its role included. Never the common name of a certificate: etcd takes that of a gRPC client for its user. */
export function clusterUser(instanceId: string): string {
  return `cluster-${instanceId}`
}

/** Everything that an installation keeps in etcd begins with this; a cluster's keys with `<this><scope>/`. */
export function dcsNamespace(installation: string): string {
  return `/holdfast/${installation}/`
}

/** Names that TLS verifies on internal connections; containers resolve them through ExtraHosts. */
export const internalName = {
  member: (memberId: string): string => `member-${shortId(memberId)}.holdfast.internal`,
  endpoint: (endpointId: string): string => `endpoint-${shortId(endpointId)}.holdfast.internal`,
  objectStore: 'objectstore.holdfast.internal',
  controlDatabase: 'control.holdfast.internal',
  etcd: (ordinal: number): string => `etcd-${ordinal}.holdfast.internal`,
} as const

/** Common names of client certificates; PostgreSQL maps them to roles (pg_ident map `holdfast`). */
export const commonName = {
  controller: (installation: string): string => `controller.${installation}`,
  agent: (instanceId: string): string => `agent.${instanceId}`,
  pooler: (endpointId: string): string => `pooler.${endpointId}`,
  member: (instanceId: string): string => `member.${instanceId}`,
  /** Of the members of etcd: who shows it may speak to them as one of them. */
  etcd: (installation: string): string => `etcd.${installation}`,
} as const
