/** Issues the certificates of servers and clients. One key each, never reused: a renewal is a new certificate with a new key. */
import { HoldfastError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import type { Validity } from '../domain/validity.ts'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type Extension,
  type JsonGeneralName,
} from './library.ts'
import { signingKeyOf, type Authority } from './authority.ts'
import { checkCommonName, checkDnsName, checkIpAddress } from './names.ts'
import { validity } from './validity.ts'
import { certificateFacts, generateKeyPair, privateKeyToPem, signCertificate } from './x509.ts'

export type CertificateUsages = 'server' | 'client' | 'both'

export interface CertificateRequest {
  readonly commonName: string
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  readonly usages: CertificateUsages
  readonly validityMs: number
  readonly now: Date
}

export interface IssuedCertificate extends Validity {
  readonly certPem: string
  /** PKCS#8 in PEM. */
  readonly keyPem: Secret
  readonly serial: string
  readonly fingerprint: string
}

/** Errors: `CertificateInvalid` (a name that cannot be certified, or an authority that is not valid now). */
export async function issueCertificate(authority: Authority, request: CertificateRequest): Promise<IssuedCertificate> {
  const commonName = checkCommonName(request.commonName)
  const { publicKey, privateKey } = await generateKeyPair()
  const certPem = await signCertificate({
    subject: commonName,
    issuer: authority.commonName,
    publicKey,
    signingKey: await signingKeyOf(authority),
    ...validityWithin(authority, request),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...extendedKeyUsages[request.usages]]),
      await SubjectKeyIdentifierExtension.create(publicKey),
      new AuthorityKeyIdentifierExtension(authority.subjectKeyId),
      ...alternativeNames(request),
    ],
  })
  const { serial, fingerprint, notBefore, notAfter } = certificateFacts(certPem)
  return { certPem, keyPem: await privateKeyToPem(privateKey), serial, fingerprint, notBefore, notAfter }
}

const extendedKeyUsages = {
  server: [ExtendedKeyUsage.serverAuth],
  client: [ExtendedKeyUsage.clientAuth],
  both: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
} as const satisfies Record<CertificateUsages, readonly string[]>

/** A certificate never outlives its authority: verifiers would refuse it while its own dates still look healthy. */
function validityWithin(authority: Authority, { now, validityMs }: CertificateRequest): Validity {
  if (now < authority.notBefore || now >= authority.notAfter) {
    throw new HoldfastError('CertificateInvalid', `The certificate authority ${authority.commonName} is not valid at ${now.toISOString()}`, {
      next: 'Check the clock of this machine; if it is right, start a roll-over to a new authority',
    })
  }
  const { notBefore, notAfter } = validity(now, validityMs)
  return { notBefore, notAfter: notAfter < authority.notAfter ? notAfter : authority.notAfter }
}

function alternativeNames({ dnsNames = [], ipAddresses = [] }: CertificateRequest): readonly Extension[] {
  const names: JsonGeneralName[] = [
    ...dnsNames.map((name) => ({ type: 'dns' as const, value: checkDnsName(name) })),
    ...ipAddresses.map((address) => ({ type: 'ip' as const, value: checkIpAddress(address) })),
  ]
  return names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]
}
