/**
 * How one authority follows another without an outage, as pure steps over the list of trusted authorities:
 *   announce  the successor is trusted, the old one still signs;
 *   switch    once every trust store was seen to hold the successor, it signs;
 *   retire    once no certificate in use was signed by an old one, it is trusted no more.
 * Who looks at the trust stores and the certificates, and when, is the caller's business.
 */
import { HoldfastError } from '../domain/errors.ts'
import type { Authority } from './authority.ts'
import { needsRenewal } from './validity.ts'

/** `signing` is one of `trusted`, which is ordered by announcement: what follows it are its successors. */
export interface Authorities {
  readonly signing: Authority
  readonly trusted: readonly Authority[]
}

export function soleAuthority(authority: Authority): Authorities {
  return { signing: authority, trusted: [authority] }
}

export function needsSuccessor(authorities: Authorities, now: Date): boolean {
  return successors(authorities).length === 0 && needsRenewal(authorities.signing, now)
}

export function announceSuccessor({ signing, trusted }: Authorities, successor: Authority): Authorities {
  const others = trusted.filter(({ fingerprint }) => fingerprint !== successor.fingerprint)
  return { signing, trusted: [...others, successor] }
}

/** Error: `CertificateInvalid` if the successor was not announced: peers without it would refuse what it signs. */
export function switchTo({ trusted }: Authorities, fingerprint: string): Authorities {
  const signing = trusted.find((authority) => authority.fingerprint === fingerprint)
  if (signing === undefined) {
    throw new HoldfastError('CertificateInvalid', `The certificate authority ${fingerprint} is not trusted yet`, {
      next: 'Announce it, and wait until every trust store holds it',
    })
  }
  return { signing, trusted }
}

/** `authorityKeyIdsInUse`: from the facts of every certificate still in use. Expired authorities go in any case. */
export function retire(authorities: Authorities, authorityKeyIdsInUse: ReadonlySet<string>, now: Date): Authorities {
  const { signing, trusted } = authorities
  const needed = [...successors(authorities), ...trusted.filter(({ subjectKeyId }) => authorityKeyIdsInUse.has(subjectKeyId))]
  return { signing, trusted: trusted.filter((authority) => authority === signing || (needed.includes(authority) && authority.notAfter > now)) }
}

function successors({ signing, trusted }: Authorities): readonly Authority[] {
  return trusted.slice(trusted.indexOf(signing) + 1)
}
