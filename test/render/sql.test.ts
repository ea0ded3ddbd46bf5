import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Secret } from '../../src/domain/secret.ts'
import { scramVerifier } from '../../src/render/scram.ts'
import * as sql from '../../src/render/sql.ts'

test('a SCRAM verifier is the one that PostgreSQL makes of the same password and salt', () => {
  // password, salt and iterations of the example in RFC 7677
  const verifier = scramVerifier(new Secret('pencil'), Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'), 4096)
  assert.equal(verifier.reveal(), 'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=')
})

test('two verifiers of one password differ by their salts', () => {
  const password = new Secret('the same')
  assert.notEqual(scramVerifier(password).reveal(), scramVerifier(password).reveal())
})

test('a password that PostgreSQL would rewrite before it hashes is refused', () => {
  for (const bad of ['pässword', 'soft\u00adhyphen', '', 'a\nb']) assert.throws(() => scramVerifier(new Secret(bad)))
})

test('identifiers and literals are quoted so that their end is their own', () => {
  assert.equal(sql.quoteIdentifier('we"ird'), '"we""ird"')
  assert.equal(sql.quoteLiteral("o'hara"), "'o''hara'")
  assert.equal(sql.quoteLiteral('back\\slash'), "E'back\\\\slash'")
  assert.throws(() => sql.quoteLiteral('a\0b'))
  assert.throws(() => sql.ownerRoleSql('x$do$; drop role y; --'))
  fc.assert(fc.property(fc.string({ minLength: 1 }), (text) => {
    if (text.includes('\0') || text.includes('$do$')) return
    assert.equal(sql.quoteIdentifier(text).slice(1, -1).replaceAll('""', '').includes('"'), false)
  }))
})

test('a login role takes a verifier and nothing that looks like a password', () => {
  const role = { name: 'shop_app1', databaseName: 'shop', validUntil: null }
  assert.throws(() => sql.loginRoleSql({ ...role, verifier: new Secret('hunter2') }), (error: Error) => !error.message.includes('hunter2'))
  const text = sql.loginRoleSql({ ...role, verifier: scramVerifier(new Secret('x')), validUntil: new Date('2026-12-01T00:00:00Z') })
  assert.match(text, /nosuperuser nocreatedb nocreaterole noreplication nobypassrls/)
  assert.match(text, /valid until '2026-12-01T00:00:00\.000Z'/)
  assert.match(text, /set role = 'shop_owner'/)
})

test('the name of the owner role fits into an identifier', () => {
  assert.equal(sql.ownerRoleOf('shop'), 'shop_owner')
  assert.equal(sql.ownerRoleOf('x'.repeat(63)).length, 63)
})
