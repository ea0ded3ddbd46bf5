/** A certificate that this process holds for itself, renewed in memory before it ends. */
import type { KeyPair } from '../domain/desired.ts'
import type { CertificateIssuer, CertificateRequest } from '../domain/ports.ts'
import { needsRenewal } from '../domain/validity.ts'

export interface Identity {
  readonly current: () => KeyPair
  /** True when a new one was issued: by age, or because another authority signs now. */
  renewIfDue(now: Date, activeAuthorityId: string): Promise<boolean>
}

export async function createIdentity(issuer: CertificateIssuer, request: CertificateRequest): Promise<Identity> {
  let held = await issuer.issue(request)
  return {
    current: () => held,
    async renewIfDue(now, activeAuthorityId) {
      if (held.authorityId === activeAuthorityId && !needsRenewal(held, now)) return false
      held = await issuer.issue(request)
      return true
    },
  }
}
