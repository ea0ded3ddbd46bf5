/** A cluster as the control database would describe it, with real certificates: a database of three members on one host. */
import { randomBytes, randomUUID } from 'node:crypto'
import { certificateKey, hostOf, type CertificatePurpose, type Desired, type Durability, type Instance, type KeyPair, type Member } from '../../src/domain/desired.ts'
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

export interface ClusterShape {
  readonly durability: Durability
  /** Of the hosts, one a member; they may be the same. */
  readonly addresses: readonly [string, string, string]
}

/** `firstPort`: of eighteen. */
export async function sampleCluster(request: SampleRequest, { durability, addresses }: ClusterShape): Promise<ClusterSample> {
  const sample = await sampleDatabase(request)
  const { authority } = sample
  const desired = onHosts(sample.desired, addresses)
  const issue: ClusterSample['issue'] = (name, names, usage) =>
    issueFor(authority, desired.activeAuthorityId, { commonName: name, names: [...names].sort(), usage }, lifetimeMs, request.now)
  const instance = clusterOf(desired, request.firstPort + 8)
  const certificates = new Map(desired.certificates)
  const add = async (purpose: CertificatePurpose, owner: string, made: Promise<KeyPair>): Promise<void> => {
    certificates.set(certificateKey(purpose, owner), await made)
  }
  await add('agent', instance.id, issue(commonName.agent(instance.id), [], 'client'))
  for (const { id, hostId } of instance.members) {
    await add('member', id, issue(commonName.member(instance.id), ['orders', internalName.member(id), hostOf(desired, hostId).privateAddress], 'both'))
  }
  const database = { ...desired.database, tier: 'standard', topology: 'ha', durability } as const
  return { ...sample, desired: { ...desired, database, instances: [instance], certificates }, instance, issue }
}

/** One host for each address; what is not a member's stays on the first. */
function onHosts(desired: Desired, addresses: ClusterShape['addresses']): Desired {
  const [first] = desired.hosts
  const [network] = desired.networks
  if (first === undefined || network === undefined) throw new Error('the sample has no host')
  const hosts = [...new Set(addresses)].map((privateAddress, at) => (at === 0 ? { ...first, privateAddress } : { ...first, id: randomUUID(), name: `there-${at}`, privateAddress }))
  return { ...desired, hosts, networks: hosts.map((host) => ({ ...network, hostId: host.id })) }
}

function clusterOf({ hosts }: Desired, firstPort: number): Instance {
  const id = randomUUID()
  const members = ordinals.map((ordinal): Member => {
    const at = firstPort + (ordinal - 1) * 3
    return { id: randomUUID(), instanceId: id, hostId: (hosts[ordinal - 1] ?? hosts[0])?.id ?? '', ordinal, ports: { postgres: at, backup: at + 1, patroni: at + 2 }, volumeBytes: null }
  })
  return {
    id, kind: 'cluster', role: 'serving', initialisedAt: null, systemIdentifier: null, lastLeader: null, keptUntil: null, members,
    repository: { path: `/lineages/${id}`, cipher: new Secret(randomBytes(24).toString('base64url')) },
    cluster: { scope: id, user: clusterUser(id), password: new Secret(randomBytes(24).toString('base64url')) },
  }
}
