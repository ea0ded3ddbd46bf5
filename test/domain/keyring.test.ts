import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { isHoldfastError, type ErrorCode } from '../../src/domain/errors.ts'
import { generateMasterKey, Keyring, keyIdOf } from '../../src/domain/keyring.ts'
import { Secret } from '../../src/domain/secret.ts'

const older = generateMasterKey()
const newer = generateMasterKey()
const idOf = (key: Secret): string => key.reveal().split(':')[0] ?? ''
const ring = (...keys: readonly Secret[]): Keyring => Keyring.parse(new Secret(keys.map((key) => key.reveal()).join(',')))
const withCode = (code: ErrorCode) => (error: unknown) => isHoldfastError(error) && error.code === code

test('what was sealed opens again, for every text and context', () => {
  const keyring = ring(newer)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (plain, context) => {
      assert.equal(keyring.open(keyring.seal(new Secret(plain), context), context).reveal(), plain)
    }),
    { numRuns: 200 },
  )
})

test('sealing twice gives two values, which name the active key', () => {
  const keyring = ring(newer, older)
  const [first, second] = [keyring.seal(new Secret('a'), 'c/1'), keyring.seal(new Secret('a'), 'c/1')]
  assert.notEqual(first, second)
  assert.match(first, new RegExp(`^v1\\.${idOf(newer)}\\.[A-Za-z0-9_-]+$`))
  assert.equal(keyIdOf(first), idOf(newer))
})

test('a value copied to another row does not open there', () => {
  const keyring = ring(newer)
  const sealed = keyring.seal(new Secret('a'), 'credentials/1')
  assert.throws(() => keyring.open(sealed, 'credentials/2'), withCode('SealBroken'))
})

test('a changed byte anywhere breaks the seal', () => {
  const keyring = ring(newer)
  const sealed = keyring.seal(new Secret('some password'), 'c/1')
  const [version, keyId, encoded] = sealed.split('.')
  const payload = Buffer.from(encoded ?? '', 'base64url')
  for (let at = 0; at < payload.length; at += 1) {
    const altered = Buffer.from(payload)
    altered.writeUInt8(altered.readUInt8(at) ^ 1, at)
    assert.throws(() => keyring.open([version, keyId, altered.toString('base64url')].join('.'), 'c/1'), withCode('SealBroken'))
  }
})

test('text that was never sealed is refused as broken', () => {
  const keyring = ring(newer)
  const tooShort = `v1.${idOf(newer)}.AAAA`
  for (const text of ['', 'password', 'v2.k1.AAAA', `v1.${idOf(newer)}.`, tooShort, `v1.${idOf(newer)}.!!`]) {
    assert.throws(() => keyring.open(text, 'c/1'), withCode('SealBroken'), text)
  }
})

test('after a change of keys old values open, ask to be sealed again, and need the old key until then', () => {
  const sealedBefore = ring(older).seal(new Secret('password'), 'c/1')
  const both = ring(newer, older)
  assert.ok(both.needsReseal(sealedBefore))
  const resealed = both.seal(both.open(sealedBefore, 'c/1'), 'c/1')
  assert.ok(!both.needsReseal(resealed))
  assert.equal(ring(newer).open(resealed, 'c/1').reveal(), 'password')
  assert.throws(() => ring(newer).open(sealedBefore, 'c/1'), withCode('MasterKeyUnknown'))
})

test('mistakes in the list of master keys are refused without showing a key', () => {
  const short = `short:${Buffer.alloc(16, 1).toString('base64')}`
  const lists = ['', ' , ', 'nonsense', short, `Upper:${Buffer.alloc(32).toString('base64')}`, `${older.reveal()},${older.reveal()}`]
  for (const list of lists) {
    assert.throws(
      () => Keyring.parse(new Secret(list)),
      (error) => withCode('ConfigInvalid')(error) && !(list !== '' && inspect(error).includes(list.split(':')[1] ?? '\0')),
      list,
    )
  }
})

test('a keyring shows its key ids and no key', () => {
  const keyring = ring(newer, older)
  assert.deepEqual(keyring.keyIds, [idOf(newer), idOf(older)])
  const shown = inspect(keyring, { depth: 10, showHidden: true }) + JSON.stringify(keyring)
  assert.ok(!shown.includes(newer.reveal().split(':')[1] ?? '\0'))
})

test('line breaks separate keys as commas do, so that a key file may hold one a line', () => {
  const keyring = Keyring.parse(new Secret(`${newer.reveal()}\n${older.reveal()}\n`))
  assert.equal(keyring.activeKeyId, idOf(newer))
  assert.equal(keyring.keyIds.length, 2)
})
