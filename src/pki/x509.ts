/**
 * The one place that touches the X.509 library and the key formats: ECDSA P-256 keys, PKCS#8 and certificates in PEM.
 * It knows encodings, not policy: who may sign what, and for how long, is decided by its callers.
 */
import { createHash, randomBytes, webcrypto } from 'node:crypto'
import { HoldfastError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
} from './library.ts'

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' }
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' }
const serialBytes = 16

export interface KeyPair {
  readonly publicKey: webcrypto.CryptoKey
  readonly privateKey: webcrypto.CryptoKey
}

export interface CertificateTemplate {
  readonly subject: string
  readonly publicKey: webcrypto.CryptoKey
  readonly issuer: string
  readonly signingKey: webcrypto.CryptoKey
  readonly notBefore: Date
  readonly notAfter: Date
  readonly extensions: readonly Extension[]
}

export interface CertificateFacts {
  readonly commonName: string
  readonly dnsNames: readonly string[]
  readonly ipAddresses: readonly string[]
  /** Lower-case hex. */
  readonly serial: string
  /** SHA-256 of the DER form, lower-case hex. */
  readonly fingerprint: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly isAuthority: boolean
  /** Hex of the key identifiers; a leaf's `authorityKeyId` is its issuer's `subjectKeyId`. */
  readonly subjectKeyId: string | undefined
  readonly authorityKeyId: string | undefined
}

export async function generateKeyPair(): Promise<KeyPair> {
  const { publicKey, privateKey } = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify'])
  return { publicKey, privateKey }
}

/** PKCS#8 in PEM (`BEGIN PRIVATE KEY`), which everything built on OpenSSL reads. */
export async function privateKeyToPem(key: webcrypto.CryptoKey): Promise<Secret> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return new Secret(`${PemConverter.encode(der, 'PRIVATE KEY')}\n`)
}

export function privateKeyFromPem(pem: Secret): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem.reveal()), keyAlgorithm, false, ['sign'])
}

export async function signCertificate(template: CertificateTemplate): Promise<string> {
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: [{ CN: [template.subject] }],
      issuer: [{ CN: [template.issuer] }],
      publicKey: template.publicKey,
      signingKey: template.signingKey,
      signingAlgorithm,
      notBefore: template.notBefore,
      notAfter: template.notAfter,
      extensions: [...template.extensions],
    },
    webcrypto,
  )
  return `${certificate.toString('pem')}\n`
}

/** Whether `privateKey` belongs to the public key that `certPem` certifies. */
export async function keyMatchesCertificate(privateKey: webcrypto.CryptoKey, certPem: string): Promise<boolean> {
  const probe = randomBytes(32)
  const signature = await webcrypto.subtle.sign(signingAlgorithm, privateKey, probe)
  const { rawData } = parseCertificate(certPem).publicKey
  const publicKey = await webcrypto.subtle.importKey('spki', rawData, keyAlgorithm, false, ['verify'])
  return webcrypto.subtle.verify(signingAlgorithm, publicKey, signature, probe)
}

/** Reads the first certificate of `pem`. Error: `CertificateInvalid`. */
export function certificateFacts(pem: string): CertificateFacts {
  const certificate = parseCertificate(pem)
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? []
  return {
    commonName: certificate.subjectName.getField('CN')[0] ?? '',
    dnsNames: names.filter(({ type }) => type === 'dns').map(({ value }) => value),
    ipAddresses: names.filter(({ type }) => type === 'ip').map(({ value }) => value),
    serial: certificate.serialNumber,
    fingerprint: createHash('sha256').update(new Uint8Array(certificate.rawData)).digest('hex'),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    isAuthority: certificate.getExtension(BasicConstraintsExtension)?.ca ?? false,
    subjectKeyId: certificate.getExtension(SubjectKeyIdentifierExtension)?.keyId,
    authorityKeyId: certificate.getExtension(AuthorityKeyIdentifierExtension)?.keyId,
  }
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new HoldfastError('CertificateInvalid', 'The text is not a certificate in PEM form', {
      next: 'Give a file that begins with -----BEGIN CERTIFICATE-----',
      cause,
    })
  }
}

/** Positive and free of leading zeros, so that every tool prints and compares the same digits. */
function randomSerial(): string {
  const bytes = randomBytes(serialBytes)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0)
  return bytes.toString('hex')
}
