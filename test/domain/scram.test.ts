import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scramVerifier } from '../../src/domain/scram.ts'
import { Secret } from '../../src/domain/secret.ts'

test('the verifier of the example of RFC 7677 proves and is proved by what stands there', async () => {
  // user "user", password "pencil"; the keys follow from the proof and the server signature of the RFC's exchange
  const verifier = await scramVerifier(new Secret('pencil'), Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))
  assert.equal(
    verifier.reveal(),
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})

test('each verifier has a salt of its own', async () => {
  const [first, second] = await Promise.all([1, 2].map(() => scramVerifier(new Secret('same'))))
  assert.notEqual(first?.reveal(), second?.reveal())
  assert.match(first?.reveal() ?? '', /^SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/)
})
