/**
 * The installation's certificate authority: a self-signed root that signs every server and client certificate directly.
 * Its key is kept sealed under the master keys; opened, it lives in memory only.
 */
import type { webcrypto } from 'node:crypto'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { Secret } from '../domain/secret.ts'
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, SubjectKeyIdentifierExtension } from './library.ts'
import { checkCommonName } from './names.ts'
import { validity } from './validity.ts'
import { certificateFacts, generateKeyPair, keyMatchesCertificate, privateKeyFromPem, privateKeyToPem, signCertificate } from './x509.ts'

export interface Authority {
  /** SHA-256 of the certificate, hex: the authority's identity. */
  readonly fingerprint: string
  /** The distinguished common name, unique to this key. */
  readonly commonName: string
  readonly subjectKeyId: string
  readonly certPem: string
  readonly keyPem: Secret
  readonly notBefore: Date
  readonly notAfter: Date
}

export interface SealedAuthority {
  readonly certPem: string
  readonly sealedKey: string
}

export interface AuthorityRequest {
  /** What a human reads, at most 55 characters; the key's identifier is appended. */
  readonly commonName: string
  readonly validityMs: number
  readonly now: Date
}

export async function createAuthority({ commonName, validityMs, now }: AuthorityRequest): Promise<Authority> {
  const { publicKey, privateKey } = await generateKeyPair()
  const keyId = await SubjectKeyIdentifierExtension.create(publicKey)
  // Old and new root are trusted side by side during a roll-over; different names keep a verifier from trying the wrong key.
  const name = checkCommonName(`${commonName} ${keyId.keyId.slice(0, 8)}`)
  const certPem = await signCertificate({
    subject: name,
    issuer: name,
    publicKey,
    signingKey: privateKey,
    ...validity(now, validityMs),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      // Python 3.13 and OpenSSL's strict mode refuse an authority that does not say what its key is for.
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      keyId,
    ],
  })
  return authorityOf(certPem, await privateKeyToPem(privateKey))
}

/** For storage. The key is bound to its certificate: it does not open beside another one. */
export function sealAuthority(authority: Authority, keyring: Keyring): SealedAuthority {
  return { certPem: authority.certPem, sealedKey: keyring.seal(authority.keyPem, sealContext(authority.fingerprint)) }
}

/** Errors: `CertificateInvalid`, `MasterKeyUnknown`, `SealBroken`. */
export async function openAuthority(sealed: SealedAuthority, keyring: Keyring): Promise<Authority> {
  const { fingerprint } = certificateFacts(sealed.certPem)
  const authority = authorityOf(sealed.certPem, keyring.open(sealed.sealedKey, sealContext(fingerprint)))
  if (!(await keyMatchesCertificate(await signingKeyOf(authority), authority.certPem))) {
    throw new HoldfastError('CertificateInvalid', `The key of the certificate authority ${fingerprint} belongs to another certificate`, {
      next: 'Restore the authority from a backup of the control database',
    })
  }
  return authority
}

/** Every authority to trust in one PEM text, without repetition, in the order given. */
export function trustBundle(authorities: readonly { readonly certPem: string }[]): string {
  return [...new Set(authorities.map(({ certPem }) => `${certPem.trim()}\n`))].join('')
}

export function signingKeyOf(authority: Authority): Promise<webcrypto.CryptoKey> {
  return privateKeyFromPem(authority.keyPem)
}

/** From parts that were opened elsewhere. Error: `CertificateInvalid` when it is no authority. */
export function authorityOf(certPem: string, keyPem: Secret): Authority {
  const { fingerprint, commonName, subjectKeyId, isAuthority, notBefore, notAfter } = certificateFacts(certPem)
  if (!isAuthority || subjectKeyId === undefined) {
    throw new HoldfastError('CertificateInvalid', `The certificate ${commonName} is not one of an authority`, {
      next: 'Restore the authority from a backup of the control database',
    })
  }
  return { fingerprint, commonName, subjectKeyId, certPem, keyPem, notBefore, notAfter }
}

function sealContext(fingerprint: string): string {
  return `authorities/${fingerprint}`
}
