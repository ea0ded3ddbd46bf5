/** Every container that speaks TLS has a certificate of its own; missing, ageing or misnamed ones are issued anew. */
import type { StoreRecord } from '../domain/action.ts'
import { certificateKey, type CertificatePurpose, type Desired, type KeyPair } from '../domain/desired.ts'
import { commonName, internalName } from '../domain/names.ts'
import { nothing, record, type Part, type PlanInput } from '../domain/part.ts'
import { endpointNames } from '../domain/reading.ts'

export interface WantedCertificate {
  readonly purpose: CertificatePurpose
  readonly ownerId: string
  readonly commonName: string
  readonly names: readonly string[]
  readonly usage: 'server' | 'client' | 'both'
}

/** Renewed when this share of its life is over: the rest is time to notice that renewal fails. */
const renewAfterShare = 2 / 3

export function planCertificates(input: PlanInput): Part {
  const missing = wantedCertificates(input.desired).filter((wanted) => !isGood(wanted, input))
  if (missing.length === 0) return nothing
  const records = missing.map((wanted): StoreRecord => ({ kind: 'issueCertificate', ...wanted }))
  return { ...record(...records), requeueAfterMs: 0 }
}

/** Those of what is retired or handed over may expire. */
export function wantedCertificates(desired: Desired): readonly WantedCertificate[] {
  const instances = desired.instances.filter((instance) => instance.role !== 'retired')
  const ofInstances = instances.flatMap((instance): WantedCertificate[] => [
    ...instance.members.map((member): WantedCertificate => ({
      purpose: 'member',
      ownerId: member.id,
      commonName: commonName.member(instance.id),
      names: sorted([...endpointNames(desired), internalName.member(member.id)]),
      usage: 'both',
    })),
    { purpose: 'agent', ownerId: instance.id, commonName: commonName.agent(instance.id), names: [], usage: 'client' },
  ])
  return [...ofInstances, ...ofEndpoint(desired)]
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
  return now < renewalTime(have)
}

export function renewalTime(certificate: KeyPair): Date {
  const from = certificate.notBefore.getTime()
  return new Date(from + (certificate.notAfter.getTime() - from) * renewAfterShare)
}

function sorted(names: readonly string[]): string[] {
  return [...new Set(names)].sort()
}
