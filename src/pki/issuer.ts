/**
 * Issues certificates for everything that a pass of the loop finds without a good one, and for the controller itself.
 * Which authority signs is asked each time, so that a roll-over needs no restart.
 */
import { isIP } from 'node:net'
import type { KeyPair } from '../domain/desired.ts'
import type { CertificateIssuer, CertificateRequest, Clock } from '../domain/ports.ts'
import type { Authority } from './authority.ts'
import { issueCertificate } from './certificate.ts'

export interface SigningAuthority {
  /** The row in the control database. */
  readonly id: string
  readonly authority: Authority
}

export interface IssuerOptions {
  readonly signing: () => Promise<SigningAuthority>
  readonly lifetimeMs: number
  readonly clock: Clock
}

export function createIssuer({ signing, lifetimeMs, clock }: IssuerOptions): CertificateIssuer {
  return {
    async issue(request) {
      const { id, authority } = await signing()
      return issueFor(authority, id, request, lifetimeMs, clock.now())
    },
  }
}

export async function issueFor(authority: Authority, authorityId: string, request: CertificateRequest, lifetimeMs: number, now: Date): Promise<KeyPair> {
  const { certPem, keyPem, notBefore, notAfter } = await issueCertificate(authority, {
    commonName: request.commonName,
    dnsNames: request.names.filter((name) => isIP(name) === 0),
    ipAddresses: request.names.filter((name) => isIP(name) !== 0),
    usages: request.usage,
    validityMs: lifetimeMs,
    now,
  })
  const { commonName, names } = request
  return { certificatePem: certPem, keyPem, commonName, names, notBefore, notAfter, authorityId }
}
