import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { needsRenewal, renewalTime } from '../../src/domain/validity.ts'
import { validity } from '../../src/pki/validity.ts'

const now = new Date('2026-01-01T00:00:00Z')
const after = (ms: number): Date => new Date(now.getTime() + ms)

test('a certificate is valid from five minutes ago, so that a slow clock accepts it', () => {
  const { notBefore, notAfter } = validity(now, 90 * 86_400_000)
  assert.equal(notBefore.toISOString(), '2025-12-31T23:55:00.000Z')
  assert.equal(notAfter.toISOString(), '2026-04-01T00:00:00.000Z')
})

test('a certificate is renewed after two thirds of its life', () => {
  const life = { notBefore: now, notAfter: after(90_000) }
  assert.equal(needsRenewal(life, after(59_999)), false)
  assert.equal(needsRenewal(life, after(60_000)), true)
  assert.deepEqual(renewalTime(life), after(60_000))
  assert.equal(needsRenewal(life, after(1_000_000)), true)
})

test('however short its life, a new certificate is not due for renewal at once, and is before it ends', () => {
  fc.assert(
    fc.property(fc.integer({ min: 10_000, max: 4_000_000_000_000 }), (validityMs) => {
      const life = validity(now, validityMs)
      assert.equal(needsRenewal(life, now), false)
      assert.ok(renewalTime(life).getTime() - now.getTime() > validityMs / 2)
      assert.ok(renewalTime(life) < life.notAfter)
    }),
  )
})
