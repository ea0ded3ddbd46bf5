/** Every container that speaks TLS has a certificate of its own; missing, ageing or misnamed ones are issued anew. */
import type { StoreRecord } from '../domain/action.ts'
import { certificateKey, hostOf, isFollower, type CertificatePurpose, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { commonName, internalName } from '../domain/names.ts'
import { lookAgain, nothing, record, type Part, type PlanInput } from '../domain/part.ts'
import { endpointNames } from '../domain/reading.ts'
import { needsRenewal, renewalTime } from '../domain/validity.ts'

export interface WantedCertificate {
  readonly purpose: CertificatePurpose
  readonly ownerId: string
  readonly commonName: string
  readonly names: readonly string[]
  readonly usage: 'server' | 'client' | 'both'
}

export function planCertificates(input: PlanInput): Part {
  const wanted = wantedCertificates(input.desired)
  const missing = wanted.filter((one) => !isGood(one, input))
  if (missing.length === 0) return lookWhenDue(wanted, input)
  const records = missing.map((one): StoreRecord => ({ kind: 'issueCertificate', ...one }))
  return { ...record(...records), requeueAfterMs: 0 }
}

/** However short their life is: they must not wait for a resync. */
function lookWhenDue(wanted: readonly WantedCertificate[], { desired, now }: PlanInput): Part {
  const held = wanted.flatMap(({ purpose, ownerId }) => desired.certificates.get(certificateKey(purpose, ownerId)) ?? [])
  const due = held.map((certificate) => renewalTime(certificate).getTime() - now.getTime())
  return due.length === 0 ? nothing : lookAgain(Math.min(...due))
}

/** Those of what is retired or handed over may expire. */
export function wantedCertificates(desired: Desired): readonly WantedCertificate[] {
  const instances = desired.instances.filter((instance) => instance.role !== 'retired')
  const ofInstances = instances.flatMap((instance): WantedCertificate[] => [
    ...instance.members.map((member): WantedCertificate => ({
      purpose: 'member',
      ownerId: member.id,
      commonName: commonName.member(instance.id),
      names: sorted([...endpointNames(desired), internalName.member(member.id), ...addresses(desired, instance, member)]),
      usage: 'both',
    })),
    { purpose: 'agent', ownerId: instance.id, commonName: commonName.agent(instance.id), names: [], usage: 'client' },
  ])
  return [...ofInstances, ...ofEndpoint(desired)]
}

/** Members of a cluster, and an instance and its follower, reach each other by address, and verify it. */
function addresses(desired: Desired, { kind }: Instance, { hostId }: Member): string[] {
  return kind === 'cluster' || desired.instances.some(isFollower) ? [hostOf(desired, hostId).privateAddress] : []
}

function ofEndpoint(desired: Desired): WantedCertificate[] {
  const { endpoint } = desired
  if (endpoint === null) return []
  return [
    { purpose: 'endpointServer', ownerId: endpoint.id, commonName: internalName.endpoint(endpoint.id), names: endpointNames(desired), usage: 'server' },
    { purpose: 'endpointClient', ownerId: endpoint.id, commonName: commonName.pooler(endpoint.id), names: [], usage: 'client' },
  ]
}

function isGood(wanted: WantedCertificate, { desired, now }: PlanInput): boolean {
  const have = desired.certificates.get(certificateKey(wanted.purpose, wanted.ownerId))
  if (have === undefined || have.authorityId !== desired.activeAuthorityId) return false
  if (have.commonName !== wanted.commonName || have.names.join() !== wanted.names.join()) return false
  return !needsRenewal(have, now)
}

function sorted(names: readonly string[]): string[] {
  return [...new Set(names)].sort()
}
