/** Everything a pass needs about one database, in one statement and one parse; secrets are opened. */
import { z } from 'zod'
import {
  certificateKey, instanceRoles, operationKinds, type ClusterScope, type Credential, type Desired, type Endpoint, type Instance, type KeyPair, type Operation, type Rehearsal,
} from '../domain/desired.ts'
import type { Keyring } from '../domain/keyring.ts'
import { clusterUser } from '../domain/names.ts'
import { backupRow, failureRow } from './backups.ts'
import { conditionRow, databaseShape } from './databaseRow.ts'
import { desiredStatement } from './desiredStatement.ts'
import { hostRow } from './hosts.ts'
import { openOnce, type OpenSecret } from './openedSecrets.ts'
import { sealContext } from './seal.ts'
import { json, time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'

export interface DesiredStore {
  /** Null when the database is not (or no longer) there. */
  load(databaseId: string): Promise<Desired | null>
  /** Ids of the databases that have a cluster, whatever becomes of them. */
  withClusters(): Promise<readonly string[]>
}

export function desiredStore(database: ControlDatabase, keyring: Keyring): DesiredStore {
  const open = openOnce(keyring)
  return {
    async load(databaseId) {
      const row = await database.maybe(desiredRow, desiredStatement, [databaseId])
      return row === undefined ? null : toDesired(row, open)
    },
    async withClusters() {
      const rows = await database.many(idRow, `select distinct i.database_id as id from instances i join databases d on d.id = i.database_id where i.kind = 'cluster' and d.removed_at is null`)
      return rows.map(({ id }) => id)
    },
  }
}

const idRow = z.object({ id: z.string() })
const named = z.object({ id: z.string(), name: z.string() })

const instanceRow = z.object({
  id: z.string(),
  kind: z.enum(['standalone', 'cluster']),
  role: z.enum(instanceRoles),
  initialisedAt: time.nullable(),
  systemIdentifier: z.string().nullable(),
  repositoryPath: z.string(),
  repositoryCipher: z.string(),
  dcsPassword: z.string().nullable(),
  lastLeader: z.object({ memberId: z.string(), timeline: z.number() }).nullable(),
  keptUntil: time.nullable(),
  members: z.array(z.object({
    id: z.string(),
    instanceId: z.string(),
    hostId: z.string(),
    ordinal: z.number(),
    ports: z.object({ postgres: z.number(), backup: z.number(), patroni: z.number().nullable() }),
    volumeBytes: z.number().nullable(),
  })),
})

const endpointRow: z.ZodType<Endpoint> = z.object({
  id: z.string(),
  hostName: z.string(),
  proxies: z.array(z.object({
    slot: z.number(),
    hostId: z.string(),
    ports: z.object({ rw: z.number(), ro: z.number(), pooled: z.number(), runtime: z.number() }),
  })),
})

const credentialRow = z.object({
  id: z.string(),
  roleName: z.string(),
  password: z.string(),
  verifier: z.string(),
  createdAt: time,
  endsAt: time.nullable(),
  endedAt: time.nullable(),
})

const certificateRow = z.object({
  purpose: z.enum(['member', 'agent', 'endpointServer', 'endpointClient']),
  ownerId: z.string(),
  certificatePem: z.string(),
  sealedKey: z.string(),
  commonName: z.string(),
  names: z.array(z.string()),
  notBefore: time,
  notAfter: time,
  authorityId: z.string(),
})

const operationRow: z.ZodType<Operation> = z.object({
  id: z.string(),
  kind: z.enum(operationKinds),
  machineVersion: z.number(),
  phase: z.string(),
  input: json,
  notes: json,
  createdAt: time,
  phaseEnteredAt: time,
  progressedAt: time,
  progress: json,
})

const rehearsalRow: z.ZodType<Rehearsal> = z.object({
  databaseId: z.string(),
  name: z.string(),
  conditions: z.array(conditionRow),
  isDeleting: z.boolean(),
  leavesNothing: z.boolean(),
  operation: z.object({
    kind: z.enum(operationKinds),
    phase: z.string(),
    progress: json,
    createdAt: time,
    phaseEnteredAt: time,
    finishedAt: time.nullable(),
    outcome: z.enum(['succeeded', 'failed', 'cancelled']).nullable(),
    failure: failureRow.nullable(),
  }).nullable(),
})

const desiredRow = z.object({
  database: z.object(databaseShape),
  team: named.extend({ haEnabled: z.boolean() }),
  project: named,
  hosts: z.array(hostRow),
  networks: z.array(z.object({ hostId: z.string(), subnet: z.string() })),
  lastOfProject: z.boolean(),
  instances: z.array(instanceRow),
  endpoint: endpointRow.nullable(),
  credentials: z.array(credentialRow),
  certificates: z.array(certificateRow),
  trustBundlePem: z.string(),
  activeAuthorityId: z.string(),
  backups: z.array(backupRow),
  operation: operationRow.nullable(),
  rehearsal: rehearsalRow.nullable(),
  peerEndpoint: z.object({ databaseId: z.string(), endpoint: endpointRow }).nullable(),
})

function toDesired(row: z.output<typeof desiredRow>, open: OpenSecret): Desired {
  return {
    ...row,
    instances: row.instances.map((instance) => openInstance(instance, open)),
    credentials: row.credentials.map((credential) => openCredential(credential, open)),
    certificates: new Map(row.certificates.map((certificate) => openCertificate(certificate, open))),
  }
}

function openInstance({ repositoryPath, repositoryCipher, dcsPassword, ...instance }: z.output<typeof instanceRow>, open: OpenSecret): Instance {
  const cipher = open(repositoryCipher, sealContext.repositoryCipher(instance.id))
  return { ...instance, repository: { path: repositoryPath, cipher }, cluster: dcsPassword === null ? null : openScope(instance.id, dcsPassword, open) }
}

/** Only the password is kept: scope and user follow from the instance. */
function openScope(instanceId: string, sealed: string, open: OpenSecret): ClusterScope {
  return { scope: instanceId, user: clusterUser(instanceId), password: open(sealed, sealContext.dcsPassword(instanceId)) }
}

function openCredential({ password, verifier, ...credential }: z.output<typeof credentialRow>, open: OpenSecret): Credential {
  return {
    ...credential,
    password: open(password, sealContext.password(credential.id)),
    verifier: open(verifier, sealContext.verifier(credential.id)),
  }
}

function openCertificate({ purpose, ownerId, sealedKey, ...certificate }: z.output<typeof certificateRow>, open: OpenSecret): [string, KeyPair] {
  const keyPem = open(sealedKey, sealContext.certificateKey(purpose, ownerId))
  return [certificateKey(purpose, ownerId), { ...certificate, keyPem }]
}
