import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { address, cidr, databaseName, encoded, identifier, iniValue, integer, lines, pem, port, postgresString } from '../../src/render/encode.ts'
import { certificatePem } from './inputs.ts'

test('a value that could end its line is refused by every encoder', () => {
  for (const encode of [identifier, address, databaseName, cidr, iniValue, postgresString]) {
    for (const bad of ['a\nb', 'a\rb', 'a\0b', '\n', 'a\u2028b']) assert.throws(() => encode(bad), { name: 'HoldfastError' }, encode.name)
  }
})

test('whatever is let in stays one line without spaces at its ends', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
    let value: string
    try { value = iniValue(text).text } catch { return }
    assert.equal(value, text)
    assert.match(value, /^[\x20-\x7e]+$/)
    assert.equal(value.trim(), value)
  }))
})

test('a PostgreSQL string is quoted so that its end is its own', () => {
  assert.equal(postgresString(`it's a \\ path`).text, `'it''s a \\\\ path'`)
})

test('HAProxy and PgBouncer words admit no spaces, comments or quotes', () => {
  for (const bad of ['a b', 'a#b', 'a"b', "a'b", 'a=b', 'a;b', '', '-a', 'a{b}']) {
    assert.throws(() => identifier(bad))
    assert.throws(() => address(bad))
    assert.throws(() => databaseName(bad))
  }
})

test('networks and ports are what they say', () => {
  assert.equal(cidr('0.0.0.0/0').text, '0.0.0.0/0')
  assert.equal(cidr('2001:db8::/32').text, '2001:db8::/32')
  for (const bad of ['example.org', '10.0.0.0/33', '300.0.0.1', '10.0.0.0/8/8', '10.0.0.0/', 'fe80::1%eth0 x']) assert.throws(() => cidr(bad), bad)
  assert.equal(port(65_535).text, '65535')
  for (const bad of [0, 65_536, 1.5, Number.NaN]) assert.throws(() => port(bad))
  for (const bad of [-1, 0.5, Number.POSITIVE_INFINITY]) assert.throws(() => integer(bad))
})

test('an error never shows a secret', () => {
  assert.throws(() => iniValue('very secret\n'), (error: Error) => !error.message.includes('very secret'))
  assert.throws(() => pem('very secret'), (error: Error) => !error.message.includes('very secret'))
})

test('a bundle of PEM blocks is one text with one line feed at its end', () => {
  assert.equal(pem(`${certificatePem.replaceAll('\n', '\r\n')}\n\n${certificatePem}\n\n`), certificatePem + certificatePem)
  assert.throws(() => pem(`${certificatePem}frontend evil\n`))
})

test('encoded parts are joined as they are', () => {
  assert.equal(lines([encoded`a ${identifier('b')}`, encoded`${integer(1)}:${port(2)}`]).text, 'a b\n1:2')
})
