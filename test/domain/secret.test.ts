import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { Secret, secretSchema } from '../../src/domain/secret.ts'

const text = 'correct horse battery staple'

test('a secret shows its text to nobody who does not ask for it by name', () => {
  const secret = new Secret(text)
  const shown = [
    `${String(secret)}`,
    secret.toString(),
    JSON.stringify({ nested: [secret] }),
    inspect({ nested: { secret } }, { depth: 10, showHidden: true }),
    format('%s %o %j', secret, secret, secret),
    JSON.stringify(Object.entries(secret)),
    inspect(structuredClone({ secret: { ...secret } })),
  ]
  for (const line of shown) assert.ok(!line.includes('horse'), line)
  assert.equal(JSON.stringify({ password: secret }), '{"password":"[secret]"}')
  assert.equal(secret.reveal(), text)
})

test('secrets are equal when their texts are, whatever their lengths', () => {
  assert.ok(new Secret(text).equals(new Secret(text)))
  assert.ok(!new Secret(text).equals(new Secret(`${text} `)))
  assert.ok(!new Secret(text).equals(new Secret('')))
})

test('the schema turns a string into a secret and refuses an empty one', () => {
  assert.equal(secretSchema.parse(text).reveal(), text)
  assert.equal(secretSchema.safeParse('').success, false)
  assert.equal(secretSchema.safeParse(7).success, false)
})
