import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressRange } from '../../src/api/schemas/addressRange.ts'

const accepted = ['0.0.0.0/0', '::/0', '203.0.113.0/24', '203.0.113.7/32', '2001:db8::/32', '2001:db8::1/128', 'fe80::/10', '::ffff:0:0/96', '1:2:3:4:5:6:7:8/128']
const refused = ['', '10.0.0.1', '10.0.0.1/8', '10.0.0.0/33', '256.0.0.0/8', '2001:db8::1/32', '2001:db8::/129', ':::/0', 'localhost/8', "0.0.0.0/0'; drop table teams; --", '0.0.0.0/0\n']

for (const range of accepted) {
  test(`${range} may connect`, () => assert.equal(addressRange.parse(range), range))
}
for (const range of refused) {
  test(`${JSON.stringify(range)} is refused as a range`, () => assert.equal(addressRange.safeParse(range).success, false))
}

test('a range of whole octets is taken exactly when its other octets are zero', () => {
  fc.assert(fc.property(fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)), fc.integer({ min: 0, max: 4 }), (octets, kept) => {
    const canonical = octets.slice(kept).every((octet) => octet === 0)
    assert.equal(addressRange.safeParse(`${octets.join('.')}/${kept * 8}`).success, canonical)
  }))
})
