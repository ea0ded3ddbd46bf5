import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { test } from 'node:test'
import { isHoldfastError, type ErrorCode } from '../../src/domain/errors.ts'
import { generateMasterKey, Keyring } from '../../src/domain/keyring.ts'
import { createAuthority, openAuthority, sealAuthority, trustBundle } from '../../src/pki/authority.ts'
import { certificateFacts } from '../../src/pki/x509.ts'
import { openSsl, withoutOpenSsl } from './openssl.ts'

const yearMs = 365 * 86_400_000
const now = new Date()
const create = () => createAuthority({ commonName: 'Holdfast test CA', validityMs: 10 * yearMs, now })
const withCode = (code: ErrorCode) => (error: unknown) => isHoldfastError(error) && error.code === code

test('an authority passes strict verification as its own root', { skip: withoutOpenSsl }, async () => {
  const { certPem } = await create()
  const verdict = await openSsl(['verify', '-x509_strict', '-check_ss_sig', '-CAfile', '{ca}', '{ca}'], { ca: certPem })
  assert.ok(verdict.accepted, verdict.text)
})

test('an authority says who it is, for how long, and what its key may do', { skip: withoutOpenSsl }, async () => {
  const authority = await create()
  const { text } = await openSsl(['x509', '-in', '{ca}', '-noout', '-text'], { ca: authority.certPem })
  assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
  assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/)
  assert.match(text, /Subject Key Identifier/)
  assert.match(authority.commonName, /^Holdfast test CA [0-9a-f]{8}$/)
  assert.equal(authority.notBefore.getTime(), Math.floor((now.getTime() - 5 * 60_000) / 1000) * 1000)
  assert.equal(certificateFacts(authority.certPem).fingerprint, authority.fingerprint)
})

test('a sealed authority opens with its master key, and its private key is never readable before', async () => {
  const keyring = Keyring.parse(generateMasterKey())
  const authority = await create()
  const sealed = sealAuthority(authority, keyring)
  assert.ok(!JSON.stringify(sealed).includes('PRIVATE KEY'))
  assert.ok(!inspect(authority).includes('PRIVATE KEY'))
  const opened = await openAuthority(sealed, keyring)
  assert.ok(opened.keyPem.equals(authority.keyPem))
  assert.deepEqual({ ...opened, keyPem: null }, { ...authority, keyPem: null })
})

test('a sealed authority does not open with another master key, nor beside another certificate', async () => {
  const keyring = Keyring.parse(generateMasterKey())
  const [one, other] = [await create(), await create()]
  const sealed = sealAuthority(one, keyring)
  await assert.rejects(openAuthority(sealed, Keyring.parse(generateMasterKey())), withCode('MasterKeyUnknown'))
  await assert.rejects(openAuthority({ ...sealed, certPem: other.certPem }, keyring), withCode('SealBroken'))
  const mixed = sealAuthority({ ...one, keyPem: other.keyPem }, keyring)
  await assert.rejects(openAuthority(mixed, keyring), withCode('CertificateInvalid'))
})

test('text that is no certificate is refused with a sentence', () => {
  assert.throws(() => certificateFacts('not a certificate'), withCode('CertificateInvalid'))
  assert.throws(() => certificateFacts(''), withCode('CertificateInvalid'))
})

test('a trust bundle holds every authority once, in the order given', async () => {
  const [one, other] = [await create(), await create()]
  const bundle = trustBundle([one, other, { certPem: one.certPem.trim() }])
  assert.equal(bundle, one.certPem + other.certPem)
})

test('a common name that would not fit is refused before anything is signed', async () => {
  await assert.rejects(createAuthority({ commonName: 'x'.repeat(60), validityMs: yearMs, now }), withCode('CertificateInvalid'))
  await assert.rejects(createAuthority({ commonName: 'a,CN=b', validityMs: yearMs, now }), withCode('CertificateInvalid'))
})
