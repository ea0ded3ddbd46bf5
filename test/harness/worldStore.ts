/** The control database of the simulated world: what is asked for, as plain values, and what records make of it. */
import assert from 'node:assert/strict'
import type { StoreRecord } from '../../src/domain/action.ts'
import {
  certificateKey, finalizers, type Backup, type Database, type Desired, type Endpoint, type Host, type Instance, type KeyPair, type Member, type Operation,
} from '../../src/domain/desired.ts'
import { Secret } from '../../src/domain/secret.ts'
import { tiers } from '../../src/domain/tiers.ts'
import type { IssuedCertificate } from '../../src/store/store.ts'

export const theHost: Host = {
  id: '00000000-0000-4000-8000-00000000aaaa', name: 'one', engine: 'unix:///var/run/docker.sock', privateAddress: '172.17.0.1', publicAddress: '192.0.2.1', state: 'active',
}

export const theProject = { id: '00000000-0000-4000-8000-00000000bbbb', name: 'shop' }

/** Ids that read well in a failure: `idOf(7)` ends in 7. */
export function idOf(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

export interface NewDatabase {
  /** Ids and ports of its parts follow from it. */
  readonly number: number
  readonly name: string
  readonly now: Date
}

/** A starter database as the API writes it: nothing made yet. */
export function starter({ number, name, now }: NewDatabase): Desired {
  const id = (part: number): string => idOf(number * 100 + part)
  const port = (part: number): number => 20_000 + number * 100 + part
  const member: Member = { id: id(2), instanceId: id(1), hostId: theHost.id, ordinal: 1, ports: { postgres: port(0), backup: port(1), patroni: null }, volumeBytes: null }
  const instance: Instance = {
    id: id(1), kind: 'standalone', role: 'serving', initialisedAt: null, systemIdentifier: null, cluster: null, lastLeader: null, keptUntil: null,
    repository: { path: `/lineages/${id(1)}`, cipher: new Secret('cipher') }, members: [member],
  }
  const proxy = (slot: number) => ({ slot, hostId: theHost.id, ports: { rw: port(10 + slot), ro: port(20 + slot), pooled: port(30 + slot), runtime: port(40 + slot) } })
  const endpoint: Endpoint = { id: id(3), hostName: `${name}.db.example`, proxies: [proxy(0), proxy(1)] }
  return {
    database: databaseRow(id(0), name, now),
    team: { id: idOf(1), name: 'team', haEnabled: false },
    project: theProject,
    hosts: [theHost],
    networks: [{ hostId: theHost.id, subnet: '10.89.0.0/26' }],
    lastOfProject: true,
    instances: [instance],
    endpoint,
    credentials: [{ id: id(4), roleName: `${name}_1`, password: new Secret('p1'), verifier: new Secret('v1'), createdAt: now, endsAt: null, endedAt: null }],
    certificates: new Map(),
    trustBundlePem: 'ca-1',
    activeAuthorityId: 'ca-1',
    backups: [],
    operation: null,
    rehearsal: null,
    peerEndpoint: null,
  }
}

/** A cluster of three members on one host, with the same ids for the same parts. */
export function cluster(request: NewDatabase): Desired {
  const alone = starter(request)
  const id = (part: number): string => idOf(request.number * 100 + part)
  const port = (part: number): number => 20_000 + request.number * 100 + part
  const members = [1, 2, 3].map((ordinal): Member => ({
    id: id(10 + ordinal), instanceId: id(1), hostId: theHost.id, ordinal, volumeBytes: null,
    ports: { postgres: port(50 + ordinal), backup: port(60 + ordinal), patroni: port(70 + ordinal) },
  }))
  const scope = { scope: id(1), user: `cluster-${id(1)}`, password: new Secret('etcd') }
  return {
    ...withDatabase(alone, { tier: 'standard', topology: 'ha' }),
    instances: alone.instances.map((instance) => ({ ...instance, kind: 'cluster' as const, cluster: scope, members })),
  }
}

function databaseRow(id: string, name: string, now: Date): Database {
  return {
    id, name, databaseName: name, tier: 'starter', topology: 'standalone', durability: 'strict', storageBytes: tiers.starter.storageBytes, allowList: ['0.0.0.0/0'], paused: false,
    images: { postgres: 'postgres:1', haproxy: 'haproxy:1' }, extraCertificateNames: [], generation: 1, observedGeneration: 0, conditions: [], createdAt: now,
    deletionRequestedAt: null, finalBackup: true, backupsKeptUntil: null, finalizers, removedAt: null, rehearsalOf: null,
  }
}

export function operationOf(number: number, kind: Operation['kind'], input: unknown, now: Date): Operation {
  return { id: idOf(number), kind, machineVersion: 1, phase: 'beginning', input, notes: {}, createdAt: now, phaseEnteredAt: now, progressedAt: now, progress: null }
}

export function withDatabase(desired: Desired, patch: Partial<Database>): Desired {
  return { ...desired, database: { ...desired.database, ...patch } }
}

export interface Writing {
  readonly now: Date
  readonly nextId: () => string
  readonly issued: readonly IssuedCertificate[]
}

/** What one record makes of the rows, as the store's statements do. `swapEndpoints` concerns two databases: see the world. */
export function recorded(desired: Desired, record: StoreRecord, { now, nextId, issued }: Writing): Desired {
  switch (record.kind) {
    case 'issueCertificate': {
      const { purpose, ownerId } = record
      const answer = issued.find((one) => one.purpose === purpose && one.ownerId === ownerId)
      assert.ok(answer, 'a certificate was recorded that nobody issued')
      return { ...desired, certificates: new Map([...desired.certificates, [certificateKey(purpose, ownerId), answer.keyPair]]) }
    }
    case 'instanceInitialised':
      return withInstance(desired, record.instanceId, (one) => {
        assert.ok(one.systemIdentifier === null || one.systemIdentifier === record.systemIdentifier, 'an instance changed its identity')
        return { ...one, initialisedAt: one.initialisedAt ?? now, systemIdentifier: record.systemIdentifier }
      })
    case 'leaderSeen':
      return withInstance(desired, record.instanceId, (one) => ({ ...one, lastLeader: { memberId: record.memberId, timeline: record.timeline } }))
    case 'instanceRole':
      return withInstance(desired, record.instanceId, (one) => ({ ...one, role: record.role }))
    case 'instanceGone':
      return { ...desired, instances: desired.instances.filter(({ id }) => id !== record.instanceId) }
    case 'placesChanged':
      return withDatabase(placesChanged(desired, record, now), { topology: 'ha', generation: desired.database.generation + 1 })
    case 'operationNoted':
      return desired.operation?.id !== record.operationId ? desired : { ...desired, operation: { ...desired.operation, notes: { ...Object(desired.operation.notes), ...record.notes } } }
    case 'requestBackup':
      return desired.backups.some((backup) => backup.instanceId === record.instanceId && isOpen(backup)) ? desired
        : { ...desired, backups: [newBackup(desired, record, now, nextId()), ...desired.backups] }
    case 'backupState':
      return { ...desired, backups: desired.backups.map((backup) => (backup.id === record.backupId ? backupAfter(backup, record, now) : backup)) }
    case 'volumeSized':
      return { ...desired, instances: desired.instances.map((instance) => ({ ...instance, members: instance.members.map((member) => (member.id === record.memberId ? { ...member, volumeBytes: record.bytes } : member)) })) }
    case 'extraCertificateNames':
      return withDatabase(desired, { extraCertificateNames: record.names, generation: desired.database.generation + 1 })
    case 'credentialEnded':
      return { ...desired, credentials: desired.credentials.map((one) => (one.id === record.credentialId ? { ...one, endedAt: one.endedAt ?? now } : one)) }
    case 'finalizerDone':
      return finalizerDone(desired, record.finalizer, now)
    case 'rehearsalMade':
    case 'rehearsalUpgradeOrdered':
    case 'rehearsalRemoved':
    case 'credentialSeen':
    case 'event':
    case 'swapEndpoints':
      return desired
  }
}

function placesChanged(desired: Desired, { fromId, toId, systemIdentifier, keptForMs }: Extract<StoreRecord, { kind: 'placesChanged' }>, now: Date): Desired {
  const keptUntil = new Date(now.getTime() + keptForMs)
  const former = withInstance(desired, fromId, (one) => ({ ...one, role: 'rollbackTarget', keptUntil }))
  const moved = withInstance(former, toId, (one) => ({ ...one, role: 'serving', initialisedAt: one.initialisedAt ?? now, systemIdentifier }))
  return { ...moved, backups: moved.backups.map((backup) => (backup.instanceId === fromId ? { ...backup, instanceId: toId } : backup)) }
}

function withInstance(desired: Desired, id: string, change: (instance: Instance) => Instance): Desired {
  return { ...desired, instances: desired.instances.map((one) => (one.id === id ? change(one) : one)) }
}

export function isOpen({ state }: Backup): boolean {
  return state === 'requested' || state === 'running' || state === 'verifying'
}

export function newBackup(desired: Desired, { instanceId, backup, trigger }: { readonly instanceId: string; readonly backup: Backup['kind']; readonly trigger: Backup['trigger'] }, now: Date, id: string): Backup {
  return {
    id, databaseId: desired.database.id, instanceId, kind: backup, trigger, state: 'requested', attempt: 1, label: null, requestedAt: now, startedAt: null,
    finishedAt: null, verifiedAt: null, stopLsn: null, databaseBytes: null, repositoryBytes: null, objectCount: null, failure: null,
  }
}

function backupAfter(backup: Backup, { state, facts = {} }: Extract<StoreRecord, { kind: 'backupState' }>, now: Date): Backup {
  const mayFollow = isOpen(backup) || (state === 'expired' && (backup.state === 'verified' || backup.state === 'failed'))
  if (!mayFollow) return backup
  const isNext = facts.nextAttempt === true
  return {
    ...backup, state,
    attempt: backup.attempt + (isNext ? 1 : 0),
    startedAt: state === 'running' ? backup.startedAt ?? now : isNext ? null : backup.startedAt,
    finishedAt: state === 'running' ? null : state === 'verifying' || state === 'failed' || isNext ? now : backup.finishedAt,
    verifiedAt: state === 'verified' ? now : backup.verifiedAt,
    label: facts.label ?? backup.label,
    repositoryBytes: facts.repositoryBytes ?? backup.repositoryBytes,
    failure: state === 'verified' ? null : facts.failure ?? backup.failure,
  }
}

/** With the volumes go members, endpoint and certificates. */
function finalizerDone(desired: Desired, finalizer: Database['finalizers'][number], now: Date): Desired {
  const left = withDatabase(desired, { finalizers: desired.database.finalizers.filter((one) => one !== finalizer) })
  if (finalizer !== 'volumes' || left.database.finalizers.length === desired.database.finalizers.length) return left
  const instances = left.instances.map((instance) => ({ ...instance, members: [] }))
  return { ...withDatabase(left, { removedAt: now }), instances, endpoint: null, hosts: [], networks: [], certificates: new Map() }
}

export function keyPair(commonName: string, names: readonly string[], authorityId: string, now: Date, lifetimeMs: number): KeyPair {
  const notAfter = new Date(now.getTime() + lifetimeMs)
  return { certificatePem: `${commonName} ${now.toISOString()}`, keyPem: new Secret('key'), commonName, names: [...names].sort(), notBefore: now, notAfter, authorityId }
}
