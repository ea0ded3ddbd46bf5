import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueCertificate, type CertificateRequest } from '../../src/pki/certificate.ts'
import { certificateFacts } from '../../src/pki/x509.ts'
import { openSsl, withoutOpenSsl } from './openssl.ts'

const dayMs = 86_400_000
const now = new Date()
const authority = await createAuthority({ commonName: 'Holdfast test CA', validityMs: 10 * dayMs, now })
const request = {
  commonName: 'member-1.holdfast.internal',
  dnsNames: ['member-1.holdfast.internal', 'localhost', '*.db.example.org'],
  ipAddresses: ['127.0.0.1', '::1', 'fd00::12'],
  usages: 'server',
  validityMs: dayMs,
  now,
} as const satisfies CertificateRequest
const strictly = (certPem: string, ...checks: readonly string[]) =>
  openSsl(['verify', '-x509_strict', ...checks, '-CAfile', '{ca}', '{leaf}'], { ca: authority.certPem, leaf: certPem })

test('a server certificate passes strict verification for each of its names, and for no other', { skip: withoutOpenSsl }, async () => {
  const { certPem } = await issueCertificate(authority, request)
  for (const name of ['member-1.holdfast.internal', 'localhost', 'orders.db.example.org']) {
    const verdict = await strictly(certPem, '-purpose', 'sslserver', '-verify_hostname', name)
    assert.ok(verdict.accepted, verdict.text)
  }
  for (const address of ['127.0.0.1', '::1', 'fd00::12']) {
    const verdict = await strictly(certPem, '-purpose', 'sslserver', '-verify_ip', address)
    assert.ok(verdict.accepted, verdict.text)
  }
  assert.ok(!(await strictly(certPem, '-verify_hostname', 'member-2.holdfast.internal')).accepted)
  assert.ok(!(await strictly(certPem, '-verify_ip', '127.0.0.2')).accepted)
})

test('a certificate serves the purpose it was asked for and no other', { skip: withoutOpenSsl }, async () => {
  const accepted = { server: [true, false], client: [false, true], both: [true, true] } as const
  for (const usages of ['server', 'client', 'both'] as const) {
    const { certPem } = await issueCertificate(authority, { commonName: 'agent.1', usages, validityMs: dayMs, now })
    const verdicts = [await strictly(certPem, '-purpose', 'sslserver'), await strictly(certPem, '-purpose', 'sslclient')]
    assert.deepEqual(verdicts.map((verdict) => verdict.accepted), accepted[usages], usages)
  }
})

test('a certificate is not accepted as an authority, nor under another root', { skip: withoutOpenSsl }, async () => {
  const { certPem } = await issueCertificate(authority, request)
  const stranger = await createAuthority({ commonName: 'Holdfast test CA', validityMs: dayMs, now })
  assert.ok(!(await openSsl(['verify', '-CAfile', '{ca}', '{leaf}'], { ca: stranger.certPem, leaf: certPem })).accepted)
  assert.equal(certificateFacts(certPem).isAuthority, false)
})

test('the private key is PKCS#8 and the pair of the certificate', { skip: withoutOpenSsl }, async () => {
  const { certPem, keyPem } = await issueCertificate(authority, request)
  assert.match(keyPem.reveal(), /^-----BEGIN PRIVATE KEY-----\n/)
  const ofKey = await openSsl(['pkey', '-in', '{key}', '-pubout'], { key: keyPem.reveal() })
  const ofCert = await openSsl(['x509', '-in', '{cert}', '-noout', '-pubkey'], { cert: certPem })
  assert.equal(ofKey.text, ofCert.text)
})

test('the facts of a certificate are what was asked for', async () => {
  const issued = await issueCertificate(authority, request)
  const facts = certificateFacts(issued.certPem)
  assert.equal(facts.commonName, request.commonName)
  assert.deepEqual(facts.dnsNames, request.dnsNames)
  assert.deepEqual(facts.ipAddresses, request.ipAddresses)
  assert.equal(facts.serial, issued.serial)
  assert.equal(facts.fingerprint, issued.fingerprint)
  assert.equal(facts.authorityKeyId, authority.subjectKeyId)
  assert.equal(facts.notAfter.getTime(), Math.floor((now.getTime() + dayMs) / 1000) * 1000)
})

test('every certificate has a serial number and a key of its own', async () => {
  const issued = [await issueCertificate(authority, request), await issueCertificate(authority, request)]
  assert.equal(new Set(issued.map(({ serial }) => serial)).size, 2)
  assert.equal(new Set(issued.map(({ keyPem }) => keyPem.reveal())).size, 2)
  for (const { serial } of issued) assert.match(serial, /^[4-7][0-9a-f]{31}$/)
})

test('a certificate ends with its authority at the latest, and none is issued afterwards', async () => {
  const issued = await issueCertificate(authority, { ...request, validityMs: 100 * dayMs })
  assert.deepEqual(issued.notAfter, authority.notAfter)
  const afterwards = new Date(authority.notAfter.getTime() + 1)
  await assert.rejects(issueCertificate(authority, { ...request, now: afterwards }), { code: 'CertificateInvalid' })
})

test('names that a verifier could misread are refused', async () => {
  const unfit: readonly Partial<CertificateRequest>[] = [
    { commonName: 'a\0b' },
    { commonName: '' },
    { commonName: 'a/CN=postgres' },
    { dnsNames: ['under_score.example.org'] },
    { dnsNames: ['10.0.0.1'] },
    { dnsNames: ['a.*.example.org'] },
    { dnsNames: [''] },
    { ipAddresses: ['localhost'] },
    { ipAddresses: ['fe80::1%eth0'] },
  ]
  for (const change of unfit) {
    await assert.rejects(
      issueCertificate(authority, { ...request, ...change }),
      (error) => isHoldfastError(error) && error.code === 'CertificateInvalid',
      JSON.stringify(change),
    )
  }
})
