import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { settingEntries } from '../src/config/catalogue.ts'
import { describeSettings, loadConfig, parseConfig, type Environment } from '../src/config.ts'
import { HoldfastError } from '../src/domain/errors.ts'
import { generateMasterKey } from '../src/domain/keyring.ts'

const home = { HOME: '/home/someone' }

function refusal(settings: Record<string, unknown>, environment: Environment = {}): HoldfastError {
  try {
    parseConfig(settings, { ...home, ...environment })
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'ConfigInvalid') return error
    throw error
  }
  throw new assert.AssertionError({ message: 'the settings were accepted' })
}

async function settingsFile(t: TestContext, text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-config-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'holdfast.yaml')
  await writeFile(path, text)
  return path
}

test('with no settings at all the embedded defaults serve', () => {
  const config = loadConfig(home)
  assert.equal(config.installation, 'holdfast')
  assert.equal(config.stateDir, '/home/someone/.local/state/holdfast/holdfast')
  assert.equal(config.databaseUrl, undefined)
  assert.equal(config.s3, undefined)
  assert.equal(config.hosts, undefined)
  assert.deepEqual(config.api, { listenAddress: '127.0.0.1', port: 7432 })
  assert.deepEqual(config.endpoint.portRange, { first: 21000, last: 23999 })
  assert.equal(config.certificates.lifetimeMs, 90 * 86_400_000)
})

test('the state directory follows XDG_STATE_HOME and the installation', () => {
  const config = loadConfig({ ...home, XDG_STATE_HOME: '/var/state', HOLDFAST_INSTALLATION: 'staging' })
  assert.equal(config.stateDir, '/var/state/holdfast/staging')
  assert.equal(loadConfig({ ...home, XDG_STATE_HOME: 'not/absolute' }).stateDir, '/home/someone/.local/state/holdfast/holdfast')
})

test('an etcd of one’s own is given by its endpoints and files', async (t) => {
  const file = await settingsFile(t, '')
  const given = { HOLDFAST_ETCD_ENDPOINTS: 'https://10.0.0.1:2379, https://etcd.example', HOLDFAST_ETCD_PASSWORD_FILE: file, HOLDFAST_ETCD_CA_FILE: file }
  const { etcd } = parseConfig({}, { ...home, ...given })
  assert.deepEqual(etcd, { endpoints: [{ host: '10.0.0.1', port: 2379 }, { host: 'etcd.example', port: 443 }], passwordFile: file, caFile: file, user: 'root' })
  assert.deepEqual(parseConfig({}, { ...home, ...given, HOLDFAST_ETCD_ENDPOINTS: 'https://[fd00::1]:2379' }).etcd?.endpoints, [{ host: 'fd00::1', port: 2379 }])
  assert.equal(parseConfig({}, home).etcd, undefined)
  const wrong = refusal({}, { HOLDFAST_ETCD_ENDPOINTS: 'http://10.0.0.1:2379,https://ok', HOLDFAST_ETCD_CERT_FILE: '/nowhere/etcd.crt', HOLDFAST_ETCD_USER: 'a b' })
  for (const line of [
    /^ {2}etcd\.endpoints \(HOLDFAST_ETCD_ENDPOINTS\): is not a list of https URLs; allowed: https:/m,
    /^ {2}etcd\.certFile: names \/nowhere\/etcd\.crt, which cannot be read/m,
    /^ {2}etcd\.user \(HOLDFAST_ETCD_USER\): is not of the allowed form/m,
    /^ {2}etcd\.passwordFile \(HOLDFAST_ETCD_PASSWORD_FILE\): is missing/m,
  ]) assert.match(wrong.message, line)
  assert.match(refusal({}, { ...given, HOLDFAST_ETCD_CERT_FILE: file }).message, /^ {2}etcd\.keyFile \(HOLDFAST_ETCD_KEY_FILE\): goes together with certFile/m)
})

test('the environment wins over the file, setting by setting', async (t) => {
  const path = await settingsFile(t, 'installation: fromfile\napi:\n  port: 8000\n  listenAddress: 0.0.0.0\n')
  const config = loadConfig({ ...home, HOLDFAST_CONFIG: path, HOLDFAST_API_PORT: '9000', HOLDFAST_LOG_PRETTY: 'true', HOLDFAST_LOG_LEVEL: '' })
  assert.equal(config.installation, 'fromfile')
  assert.deepEqual(config.api, { listenAddress: '0.0.0.0', port: 9000 })
  assert.equal(config.logPretty, true)
  assert.equal(config.logLevel, 'info')
})

test('hosts come as a list, in the environment as JSON, and each engine is understood', async (t) => {
  const file = await settingsFile(t, '')
  const hosts = [
    { name: 'one', engine: 'unix:///run/docker.sock', privateAddress: '172.17.0.1' },
    { name: 'two', engine: 'tcp://10.0.0.2:2376', tls: { caFile: file, certFile: file, keyFile: file }, privateAddress: '10.0.0.2' },
    { name: 'three', engine: 'tcp://[fd00::3]:2376', tls: { caFile: file, certFile: file, keyFile: file }, privateAddress: 'fd00::3' },
  ]
  const config = loadConfig({ ...home, HOLDFAST_HOSTS: JSON.stringify(hosts) })
  const tls = { kind: 'tls', port: 2376, caFile: file, certFile: file, keyFile: file }
  assert.deepEqual(config.hosts?.map(({ engine }) => engine), [
    { kind: 'socket', path: '/run/docker.sock' },
    { ...tls, host: '10.0.0.2' },
    { ...tls, host: 'fd00::3' },
  ])
})

test('an engine on the network without mutual TLS is refused', () => {
  const host = { name: 'one', engine: 'tcp://10.0.0.2:2375', privateAddress: '10.0.0.2' }
  assert.match(refusal({ hosts: [host] }).message, /hosts\[0\]\.engine: is a TCP address without tls/)
})

test('every mistake is told at once, by the names of both places, with what is allowed', () => {
  const { message, facts, next } = refusal(
    { colour: 'red', api: { port: 70_000, proxy: true }, internalPortRange: '23000-24000', s3: { bucket: 'UPPER' } },
    { HOLDFAST_LOG_LEVEL: 'loud', HOLDFAST_LOG_PRETTY: 'yes', HOLDFAST_API_PROT: '1', HOLDFAST_S3_CA_FILE: '/nowhere/ca.crt' },
  )
  const expected = [
    /^ {2}colour: is not a setting; allowed: the settings installation, stateDir,/m,
    /^ {2}api\.port \(HOLDFAST_API_PORT\): .*; allowed: a whole number from 1 to 65535$/m,
    /^ {2}api\.proxy: is not a setting; allowed: the settings listenAddress, port, tls$/m,
    /^ {2}internalPortRange \(HOLDFAST_INTERNAL_PORT_RANGE\): overlaps endpoint\.portRange/m,
    /^ {2}s3\.endpoint \(HOLDFAST_S3_ENDPOINT\): is missing; allowed: https:/m,
    /^ {2}s3\.secretAccessKey \(HOLDFAST_S3_SECRET_ACCESS_KEY\): is missing/m,
    /^ {2}s3\.bucket \(HOLDFAST_S3_BUCKET\): is not of the allowed form/m,
    /^ {2}s3\.caFile: names \/nowhere\/ca\.crt, which cannot be read/m,
    /^ {2}logLevel \(HOLDFAST_LOG_LEVEL\): .*one of fatal, error, warn, info, debug, trace, silent$/m,
    /^ {2}logPretty \(HOLDFAST_LOG_PRETTY\): .*; allowed: true or false$/m,
    /^ {2}HOLDFAST_API_PROT: is not a setting/m,
  ]
  for (const line of expected) assert.match(message, line)
  assert.match(message, /^12 settings are wrong:/)
  assert.equal(Array.isArray(facts.mistakes) ? facts.mistakes.length : 0, 12)
  assert.ok(next?.includes('docs/settings.md'))
})

test('settings that contradict each other are refused', () => {
  const contradictions = [
    { internalPortRange: '21500-22000' },
    { controller: { leaseSeconds: 45 } },
    { controller: { passTimeoutMs: 10_000, effectTimeoutMs: 10_000 } },
    { networkPool: { cidr: '10.0.0.0/28', prefix: 26 } },
    { certificates: { lifetimeDays: 90, authorityLifetimeSeconds: 60 } },
    { hosts: [1, 2].map(() => ({ name: 'same', engine: 'unix:///run/docker.sock', privateAddress: '10.0.0.1' })) },
    { endpoint: { portRange: '23000-21000' } },
    { api: { tls: { certFile: '/dev/null' } } },
    { backups: { fullSchedule: 'every day' } },
  ]
  for (const settings of contradictions) assert.match(refusal(settings).message, /^One setting is wrong:/, JSON.stringify(settings))
})

test('a secret is shown neither by the settings nor by a refusal', async (t) => {
  const masterKeys = generateMasterKey().reveal()
  const secrets = { HOLDFAST_MASTER_KEYS: masterKeys, HOLDFAST_DATABASE_URL: 'postgres://u:hunter2@db/holdfast' }
  const config = loadConfig({ ...home, ...secrets })
  const shown = inspect(config, { depth: 10, showHidden: true }) + JSON.stringify(config)
  assert.equal(config.databaseUrl?.reveal(), secrets.HOLDFAST_DATABASE_URL)
  const broken = await settingsFile(t, 'databaseUrl: "postgres://u:hunter2@db\nmasterKeys: [')
  const refusals = [
    refusal({}, { HOLDFAST_MASTER_KEYS: `${masterKeys}x`, HOLDFAST_DATABASE_URL: 'mysql://u:hunter2@db' }),
    refusal({ s3: { secretAccessKey: ['hunter2'], endpoint: 'http://key:hunter2@s3' }, databaseUrl: { password: 'hunter2' } }),
  ].map((error) => inspect(error, { depth: 10 }))
  assert.throws(() => loadConfig({ HOLDFAST_CONFIG: broken }), (error) => refusals.push(inspect(error, { depth: 10 })) > 0)
  for (const text of [shown, ...refusals]) {
    assert.ok(!text.includes('hunter2'), text)
    assert.ok(!text.includes(masterKeys.slice(masterKeys.indexOf(':') + 1)), text)
  }
})

test('a settings file that is no YAML, no group of settings, or absent is refused by name', async (t) => {
  for (const text of ['a: [', '- a\n- b\n', 'just text', 'a: 1\na: 2\n']) {
    const path = await settingsFile(t, text)
    assert.throws(() => loadConfig({ HOLDFAST_CONFIG: path }), { code: 'ConfigInvalid', message: new RegExp(path) })
  }
  assert.throws(() => loadConfig({ HOLDFAST_CONFIG: '/nowhere/holdfast.yaml' }), { code: 'ConfigInvalid' })
})

test('a single value in the place of a group is refused, even where the environment sets something inside', () => {
  assert.match(refusal({ api: 7 }, { HOLDFAST_API_PORT: '7432' }).message, /^ {2}api: .*; allowed: the settings/m)
})

test('the settings cannot be changed once parsed', () => {
  const { api, hosts } = parseConfig({ hosts: [{ name: 'one', engine: 'unix:///run/docker.sock', privateAddress: '10.0.0.1' }] }, home)
  assert.throws(() => Object.assign(api, { port: 1 }), TypeError)
  assert.throws(() => Object.assign(hosts?.[0] ?? {}, { name: 'two' }), TypeError)
})

test('certificates may live for seconds, to try renewals out', () => {
  const config = loadConfig({ ...home, HOLDFAST_CERTIFICATES_LIFETIME_SECONDS: '90' })
  assert.equal(config.certificates.lifetimeMs, 90_000)
})

test('every setting is documented, and has a name of its own in the environment', () => {
  for (const { path, description } of settingEntries) assert.match(description, /\.$/, `${path} has no description`)
  const names = settingEntries.flatMap(({ environmentName }) => environmentName ?? [])
  assert.equal(new Set(names).size, names.length)
  const table = describeSettings().trim().split('\n')
  assert.equal(table.length, settingEntries.length + 2)
  for (const row of table) assert.equal(row.match(/(?<!\\)\|/g)?.length, 6, row)
})
