/** A database as the control database would describe it, with real certificates; nothing of it exists anywhere. */
import { randomBytes, randomUUID } from 'node:crypto'
import { certificateKey, type CertificatePurpose, type Desired, type KeyPair } from '../../src/domain/desired.ts'
import { commonName, internalName } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createAuthority, type Authority } from '../../src/pki/authority.ts'
import { issueFor } from '../../src/pki/issuer.ts'
import { scramVerifier } from '../../src/render/scram.ts'

export interface Sample {
  readonly desired: Desired
  /** The controller's own client certificate. */
  readonly controller: KeyPair
  readonly authority: Authority
  readonly password: Secret
}

export interface SampleRequest {
  readonly installation: string
  readonly subnet: string
  /** The first of eight ports. */
  readonly firstPort: number
  readonly privateAddress: string
  readonly images: Desired['database']['images']
  readonly now: Date
  /** The installation's authority, where it has one already. */
  readonly authority?: Authority
}

const lifetimeMs = 86_400_000
const authorityId = randomUUID()

export async function sampleDatabase(request: SampleRequest): Promise<Sample> {
  const { installation, now, firstPort } = request
  const authority = request.authority ?? await createAuthority({ commonName: `Test ${installation}`, validityMs: lifetimeMs * 10, now })
  const [hostId, databaseId, instanceId, memberId, endpointId] = [randomUUID(), randomUUID(), randomUUID(), randomUUID(), randomUUID()]
  const issue = (name: string, names: readonly string[], usage: 'server' | 'client' | 'both'): Promise<KeyPair> =>
    issueFor(authority, authorityId, { commonName: name, names, usage }, lifetimeMs, now)
  const names = [internalName.endpoint(endpointId), 'orders'].sort()
  const certificates = await certificateMap([
    ['member', memberId, issue(commonName.member(instanceId), [...names, internalName.member(memberId)].sort(), 'both')],
    ['agent', instanceId, issue(commonName.agent(instanceId), [], 'client')],
    ['endpointServer', endpointId, issue(internalName.endpoint(endpointId), names, 'server')],
    ['endpointClient', endpointId, issue(commonName.pooler(endpointId), [], 'client')],
  ])
  const password = new Secret(randomBytes(20).toString('base64url'))
  const desired: Desired = {
    ...(await unrelated(authority)),
    database: databaseOf(databaseId, request),
    hosts: [{ id: hostId, name: 'here', engine: 'unix:///var/run/docker.sock', privateAddress: request.privateAddress, publicAddress: '127.0.0.1', state: 'active' }],
    networks: [{ hostId, subnet: request.subnet }],
    instances: [{
      id: instanceId, kind: 'standalone', role: 'serving', initialisedAt: null, systemIdentifier: null, lastLeader: null, keptUntil: null, cluster: null,
      repository: { path: `/lineages/${instanceId}`, cipher: new Secret(randomBytes(24).toString('base64url')) },
      members: [{ id: memberId, instanceId, hostId, ordinal: 1, ports: { postgres: firstPort, backup: firstPort + 1, patroni: null }, volumeBytes: null }],
    }],
    endpoint: {
      id: endpointId, hostName: 'localhost',
      proxies: [0, 1].map((slot) => ({ slot, hostId, ports: { rw: firstPort + 2, ro: firstPort + 3, pooled: firstPort + 4, runtime: firstPort + 5 } })),
    },
    credentials: [{
      id: randomUUID(), roleName: 'orders_1', password, verifier: scramVerifier(password), createdAt: now, endsAt: null, endedAt: null,
    }],
    certificates,
  }
  return { desired, password, authority, controller: await issue(commonName.controller(installation), [], 'client') }
}

async function unrelated(authority: Authority) {
  return {
    team: { id: randomUUID(), name: 'team', haEnabled: true },
    project: { id: randomUUID(), name: 'project' },
    lastOfProject: true,
    trustBundlePem: authority.certPem,
    activeAuthorityId: authorityId,
    backups: [],
    operation: null,
    rehearsal: null,
    peerEndpoint: null,
  }
}

function databaseOf(id: string, { images, now }: SampleRequest): Desired['database'] {
  return {
    id, name: 'orders', databaseName: 'orders', tier: 'starter', topology: 'standalone', durability: 'strict', storageBytes: 400 * 1024 * 1024,
    allowList: ['0.0.0.0/0'], paused: false, images, extraCertificateNames: [], generation: 1, observedGeneration: 0, conditions: [],
    createdAt: now, deletionRequestedAt: null, finalBackup: true, backupsKeptUntil: null,
    finalizers: ['finalBackup', 'containers', 'volumes', 'backups'], removedAt: null, rehearsalOf: null,
  }
}

async function certificateMap(entries: readonly (readonly [CertificatePurpose, string, Promise<KeyPair>])[]): Promise<ReadonlyMap<string, KeyPair>> {
  return new Map(await Promise.all(entries.map(async ([purpose, owner, pair]) => [certificateKey(purpose, owner), await pair] as const)))
}
