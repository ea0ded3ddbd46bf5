/** A cluster as the control database would describe it, with real certificates: a database of three members on one host. */
import { randomBytes, randomUUID } from 'node:crypto'
import { certificateKey, type CertificatePurpose, type Desired, type Durability, type Instance, type KeyPair, type Member } from '../../src/domain/desired.ts'
import { commonName, clusterUser, internalName } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { issueFor } from '../../src/pki/issuer.ts'
import { sampleDatabase, type Sample, type SampleRequest } from '../executor/sample.ts'

export interface ClusterSample extends Sample {
  readonly instance: Instance
  /** By anybody's name, with names or addresses. */
  issue(name: string, names: readonly string[], usage: 'server' | 'client' | 'both'): Promise<KeyPair>
}

const lifetimeMs = 86_400_000
const ordinals = [1, 2, 3]

/** `firstPort`: of eighteen. */
export async function sampleCluster(request: SampleRequest, durability: Durability = 'strict'): Promise<ClusterSample> {
  const sample = await sampleDatabase(request)
  const { desired, authority } = sample
  const issue: ClusterSample['issue'] = (name, names, usage) =>
    issueFor(authority, desired.activeAuthorityId, { commonName: name, names: [...names].sort(), usage }, lifetimeMs, request.now)
  const instance = clusterOf(desired, request.firstPort + 8)
  const certificates = new Map(desired.certificates)
  const add = async (purpose: CertificatePurpose, owner: string, made: Promise<KeyPair>): Promise<void> => {
    certificates.set(certificateKey(purpose, owner), await made)
  }
  await add('agent', instance.id, issue(commonName.agent(instance.id), [], 'client'))
  for (const { id } of instance.members) {
    await add('member', id, issue(commonName.member(instance.id), ['orders', internalName.member(id), request.privateAddress], 'both'))
  }
  const database = { ...desired.database, tier: 'standard', topology: 'ha', durability } as const
  return { ...sample, desired: { ...desired, database, instances: [instance], certificates }, instance, issue }
}

function clusterOf({ hosts }: Desired, firstPort: number): Instance {
  const id = randomUUID()
  const hostId = hosts[0]?.id ?? ''
  const members = ordinals.map((ordinal): Member => {
    const at = firstPort + (ordinal - 1) * 3
    return { id: randomUUID(), instanceId: id, hostId, ordinal, ports: { postgres: at, backup: at + 1, patroni: at + 2 }, volumeBytes: null }
  })
  return {
    id, kind: 'cluster', role: 'serving', initialisedAt: null, systemIdentifier: null, lastLeader: null, members,
    repository: { path: `/lineages/${id}`, cipher: new Secret(randomBytes(24).toString('base64url')) },
    cluster: { scope: id, user: clusterUser(id), password: new Secret(randomBytes(24).toString('base64url')) },
  }
}
