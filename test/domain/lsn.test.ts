import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatLsn, lagBytes, lsnSchema, parseLsn, walFileName, walSegmentBytes } from '../../src/domain/lsn.ts'

const half = fc.integer({ min: 0, max: 0xffffffff })
const lsnText = fc.tuple(half, half).map(([high, low]) => `${high.toString(16).toUpperCase()}/${low.toString(16).toUpperCase()}`)

test('a position is shown as PostgreSQL shows it', () => {
  assert.equal(formatLsn(parseLsn('16/B374D848')), '16/B374D848')
  assert.equal(parseLsn('16/b374d848'), parseLsn('16/B374D848'))
  assert.equal(formatLsn(parseLsn('0/0')), '0/0')
})

test('every position survives being shown and read', () => {
  fc.assert(fc.property(lsnText, (text) => assert.equal(formatLsn(parseLsn(text)), text)))
})

test('what is no position is refused', () => {
  for (const text of ['', '0', '/', '0/', '/0', '1/2/3', '123456789/0', '0/123456789', 'G/0', ' 0/0', '-1/0']) {
    assert.throws(() => parseLsn(text), RangeError, text)
    assert.equal(lsnSchema.safeParse(text).success, false, text)
  }
})

test('lag is the distance in bytes, across the boundary of the halves, and never negative', () => {
  assert.equal(lagBytes(parseLsn('1/0'), parseLsn('0/FFFFFFFF')), 1)
  fc.assert(fc.property(lsnText, lsnText, (a, b) => {
    const [first, second] = [parseLsn(a), parseLsn(b)]
    assert.equal(lagBytes(first, second) > 0, first > second)
    assert.equal(Math.min(lagBytes(first, second), lagBytes(second, first)), 0)
  }))
})

test('the WAL file of a position is named as PostgreSQL names it', () => {
  // as pg_walfile_name said on timeline 1
  assert.equal(walFileName(1, parseLsn('0/1000028')), '000000010000000000000001')
  assert.equal(walFileName(1, parseLsn('0/1FFFFFF')), '000000010000000000000001')
  assert.equal(walFileName(1, parseLsn('0/2000000')), '000000010000000000000002')
  assert.equal(walFileName(10, parseLsn('16/B374D848')), '0000000A00000016000000B3')
  assert.equal(walFileName(1, parseLsn('1/0')), '000000010000000100000000')
})

test('later positions never lie in earlier files', () => {
  fc.assert(fc.property(lsnText, lsnText, (a, b) => {
    const [first, second] = [parseLsn(a), parseLsn(b)].toSorted((x, y) => (x < y ? -1 : 1))
    assert.ok(first !== undefined && second !== undefined)
    assert.ok(walFileName(1, first) <= walFileName(1, second))
    assert.equal(walFileName(1, first) === walFileName(1, second), first / BigInt(walSegmentBytes) === second / BigInt(walSegmentBytes))
  }))
})
