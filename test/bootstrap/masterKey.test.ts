import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ensureMasterKeys, masterKeyFile } from '../../src/bootstrap/masterKey.ts'
import { generateMasterKey, Keyring } from '../../src/domain/keyring.ts'
import { Secret } from '../../src/domain/secret.ts'

async function freshState(t: TestContext): Promise<{ stateDir: string; masterKeys: undefined }> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-keys-'))
  t.after(() => rm(directory, { recursive: true }))
  return { stateDir: join(directory, 'holdfast', 'test'), masterKeys: undefined }
}

function announcements(): { announce: (message: string) => void; heard: string[] } {
  const heard: string[] = []
  return { announce: (message) => heard.push(message), heard }
}

test('the first start makes a key only its user can read, and says so without showing it', async (t) => {
  const config = await freshState(t)
  const { announce, heard } = announcements()
  const keyring = await ensureMasterKeys(config, { announce })
  const path = masterKeyFile(config)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal((await stat(config.stateDir)).mode & 0o777, 0o700)
  const text = await readFile(path, 'utf8')
  assert.equal(keyring.activeKeyId, Keyring.parse(new Secret(text)).activeKeyId)
  assert.equal(heard.length, 1)
  assert.ok(heard[0]?.includes(path))
  assert.ok(!heard[0]?.includes(text.trim().split(':')[1] ?? ''))
})

test('later starts use the same key and say nothing', async (t) => {
  const config = await freshState(t)
  const first = await ensureMasterKeys(config, announcements())
  const { announce, heard } = announcements()
  const second = await ensureMasterKeys(config, { announce })
  assert.equal(second.open(first.seal(new Secret('a'), 'c'), 'c').reveal(), 'a')
  assert.deepEqual(heard, [])
})

test('of many processes starting together one key survives, all use it, and one announces it', async (t) => {
  const config = await freshState(t)
  const { announce, heard } = announcements()
  const rings = await Promise.all(Array.from({ length: 8 }, () => ensureMasterKeys(config, { announce })))
  assert.equal(new Set(rings.map(({ activeKeyId }) => activeKeyId)).size, 1)
  assert.equal(heard.length, 1)
  assert.deepEqual(await readdir(config.stateDir), ['master.keys'])
})

test('keys from the settings are used, and no file is touched', async (t) => {
  const config = await freshState(t)
  const masterKeys = generateMasterKey()
  const keyring = await ensureMasterKeys({ ...config, masterKeys }, announcements())
  assert.equal(keyring.activeKeyId, masterKeys.reveal().split(':')[0])
  await assert.rejects(stat(config.stateDir), { code: 'ENOENT' })
})

test('a key file that others may read is refused, with the command that mends it', async (t) => {
  const config = await freshState(t)
  await ensureMasterKeys(config, announcements())
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(masterKeyFile(config), mode)
    await assert.rejects(ensureMasterKeys(config, announcements()), { code: 'MasterKeyFileUnsafe', next: /^chmod 600 / })
  }
})

test('a directory in which others may put a file is refused', async (t) => {
  const config = await freshState(t)
  await ensureMasterKeys(config, announcements())
  await chmod(config.stateDir, 0o770)
  await assert.rejects(ensureMasterKeys(config, announcements()), { code: 'MasterKeyFileUnsafe' })
})

test('a link in the place of the key file is not followed', async (t) => {
  const config = await freshState(t)
  await ensureMasterKeys(config, announcements())
  const elsewhere = join(config.stateDir, 'elsewhere')
  await writeFile(elsewhere, generateMasterKey().reveal(), { mode: 0o600 })
  await rm(masterKeyFile(config))
  await symlink(elsewhere, masterKeyFile(config))
  await assert.rejects(ensureMasterKeys(config, announcements()), { code: 'MasterKeyFileUnsafe' })
})

test('an emptied key file is refused, never filled with a new key', async (t) => {
  const config = await freshState(t)
  await ensureMasterKeys(config, announcements())
  await writeFile(masterKeyFile(config), '')
  await assert.rejects(ensureMasterKeys(config, announcements()), { code: 'ConfigInvalid' })
  assert.equal(await readFile(masterKeyFile(config), 'utf8'), '')
})
