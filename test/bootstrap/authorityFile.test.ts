import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ensureFirstAuthority, keepAuthority, newAuthority, trustFile } from '../../src/bootstrap/authorityFile.ts'
import { generateMasterKey, Keyring } from '../../src/domain/keyring.ts'
import { trustBundle } from '../../src/pki/authority.ts'

const dayMs = 86_400_000
const now = new Date()
const keyring = Keyring.parse(generateMasterKey())

async function freshState(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), 'hf-authority-'))
  t.after(() => rm(stateDir, { recursive: true }))
  return { stateDir, installation: 'test', certificates: { lifetimeMs: dayMs, authorityLifetimeMs: 30 * dayMs } }
}

test('the first start makes an authority, and every later one finds it', async (t) => {
  const config = await freshState(t)
  const made = await ensureFirstAuthority(config, keyring, now)
  const again = await ensureFirstAuthority(config, keyring, now)
  assert.deepEqual([again.id, again.authority.fingerprint, again.trustPem], [made.id, made.authority.fingerprint, made.authority.certPem])
  assert.equal(await readFile(trustFile(config), 'utf8'), made.trustPem)
  const file = join(config.stateDir, 'authority.json')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.ok(!(await readFile(file, 'utf8')).includes('PRIVATE'))
})

test('after a roll-over a start finds who signs now and everybody who is trusted', async (t) => {
  const config = await freshState(t)
  const old = await ensureFirstAuthority(config, keyring, now)
  const next = await newAuthority(config, now)
  const trustPem = trustBundle([next.authority, old.authority])
  await keepAuthority(config, keyring, { ...next, trustPem })
  const found = await ensureFirstAuthority(config, keyring, now)
  assert.deepEqual([found.id, found.authority.fingerprint, found.trustPem], [next.id, next.authority.fingerprint, trustPem])
  assert.equal(await readFile(trustFile(config), 'utf8'), trustPem)
  assert.deepEqual((await readdir(config.stateDir)).sort(), ['authority.json', 'ca.pem'])
})

test('one that ended while nobody looked is replaced: the service can start', async (t) => {
  const config = await freshState(t)
  const old = await ensureFirstAuthority(config, keyring, now)
  const later = new Date(now.getTime() + 31 * dayMs)
  const fresh = await ensureFirstAuthority(config, keyring, later)
  assert.notEqual(fresh.id, old.id)
  assert.ok(fresh.authority.notAfter > later)
  assert.equal(await readFile(trustFile(config), 'utf8'), fresh.authority.certPem)
})

test('a file of a version that kept no trust beside the authority trusts the authority', async (t) => {
  const config = await freshState(t)
  const { authority } = await ensureFirstAuthority(config, keyring, now)
  const file = join(config.stateDir, 'authority.json')
  await writeFile(file, (await readFile(file, 'utf8')).replace(/,"trustPem":"[^"]*"/, ''))
  assert.equal((await ensureFirstAuthority(config, keyring, now)).trustPem, authority.certPem)
})
