import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HoldfastError } from '../src/domain/errors.ts'
import { Secret } from '../src/domain/secret.ts'
import { createLogger, createMetrics, passLogger } from '../src/telemetry.ts'

interface Captured {
  readonly lines: string[]
  readonly destination: { write: (line: string) => void }
}

function capture(): Captured {
  const lines: string[] = []
  return { lines, destination: { write: (line) => void lines.push(line) } }
}

function logged(write: (logger: ReturnType<typeof createLogger>) => void): string {
  const { lines, destination } = capture()
  write(createLogger({ level: 'trace', destination }))
  return lines.join('')
}

test('a line is JSON with a level by name, a time in ISO form, a constant message and its fields', () => {
  const line: unknown = JSON.parse(logged((logger) => logger.info({ databaseId: 'd1', ms: 12 }, 'Pass settled')))
  assert.ok(typeof line === 'object' && line !== null && 'time' in line)
  assert.match(String(line.time), /^\d{4}-\d\d-\d\dT.*Z$/)
  assert.deepEqual({ ...line, time: 0 }, { level: 'info', time: 0, databaseId: 'd1', ms: 12, msg: 'Pass settled' })
})

test('a secret is redacted by its type, in whatever field, depth, child or error it travels', () => {
  const secret = new Secret('hunter2')
  const text = logged((logger) => {
    logger.info({ harmless: secret, deep: { list: [secret] } }, 'Made credentials')
    logger.child({ with: secret }).info('In a child')
    logger.info(`In a message ${String(secret)}`)
    logger.error({ err: new HoldfastError('Internal', 'Failed', { facts: { secret } }) }, 'Failed')
  })
  assert.ok(!text.includes('hunter2'), text)
  assert.equal(text.match(/\[secret\]/g)?.length, 5)
})

test('text that never was a Secret is caught by its key, in fields, children, and JSON quoted into messages', () => {
  const keys = ['password', 'adminPassword', 'PGPASSWORD', 'secret_access_key', 'apiToken', 'authorization', 'set-cookie', 'privateKey', 'keyPem', 'cipherPass']
  const text = logged((logger) => {
    for (const key of keys) {
      logger.info({ [key]: 'hunter2', nested: { [key]: 'hunt"er2 hunter2', after: 'kept' } }, 'Fields')
      logger.child({ [key]: 'hunter2' }).info('Child')
      logger.info(`The engine said ${JSON.stringify({ [key]: 'hunter2', after: 'kept' })}`)
      logger.info({ [key]: 'hunter2\\', after: 'kept' }, `The engine said ${JSON.stringify({ [key]: '"\\hunter2\\', after: 'kept' })}`)
      logger.error({ err: new Error(JSON.stringify({ inner: JSON.stringify({ [key]: 'hunter2' }) })) }, 'Twice quoted')
    }
  })
  assert.ok(!text.includes('hunter2'), text.split('\n').find((line) => line.includes('hunter2')))
  for (const line of text.trim().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line)
  assert.equal(text.match(/kept/g)?.length, keys.length * 4)
})

test('passwords in URLs, bearer tokens and private keys are caught by their form', () => {
  const pem = '-----BEGIN PRIVATE KEY-----\nMIGHAgEAhunter2\n-----END PRIVATE KEY-----\n'
  const text = logged((logger) => {
    logger.error({ err: new Error('connect postgres://app:hunter2@db:5432/app failed') }, 'Failed')
    logger.info({ note: 'Bearer hunter2hunter2' }, 'A header')
    logger.info({ content: pem }, 'A file')
  })
  assert.ok(!text.includes('hunter2'), text)
  assert.match(text, /postgres:\/\/app:\[redacted\]@db:5432\/app/)
})

test('what only names a secret stays readable', () => {
  const fields = { tokenId: 't-1', credentialsFile: '/state/credentials.json', tokens: 3, keyId: 'k1', url: 'https://localhost:7432/v1', passwordRotated: true }
  const line: unknown = JSON.parse(logged((logger) => logger.info(fields, 'Named')))
  assert.ok(typeof line === 'object' && line !== null)
  for (const [key, value] of Object.entries(fields)) assert.ok(Object.entries(line).some(([k, v]) => k === key && v === value), key)
})

test('an error is logged with its code, the next step and the whole chain of causes', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', config: { password: 'hunter2' } })
  const err = new HoldfastError('EngineUnreachable', 'The engine does not answer', { cause: refused, next: 'Start it', facts: { host: 'h1' } })
  const line: unknown = JSON.parse(logged((logger) => logger.error({ err }, 'Pass failed')))
  assert.ok(typeof line === 'object' && line !== null && 'err' in line)
  const { stack, ...cause } = { stack: refused.stack, type: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' }
  assert.deepEqual(line.err, {
    type: 'HoldfastError',
    message: 'The engine does not answer',
    code: 'EngineUnreachable',
    next: 'Start it',
    facts: { host: 'h1' },
    cause: { ...cause, stack },
  })
})

test('errors in a circle and thrown values that are no errors are logged all the same', () => {
  const circle = new Error('one')
  circle.cause = new Error('two', { cause: circle })
  const text = logged((logger) => {
    logger.error({ err: circle }, 'Circle')
    logger.error({ err: 'just text' }, 'Text')
    logger.error({ err: new AggregateError([new Error('a'), new Error('b')], 'both') }, 'Many')
    logger.error(new Error('alone'))
  })
  assert.equal(text.trim().split('\n').length, 4)
  assert.match(text, /"errors":\[\{"type":"Error","message":"a"/)
})

test('every line of a pass carries its ids, and the pretty form hides the same secrets', () => {
  const { lines, destination } = capture()
  const logger = createLogger({ level: 'info', pretty: true, destination })
  passLogger(logger, { databaseId: 'd1', reconcileId: 'r1' }).info({ password: 'hunter2', token: new Secret('hunter2') }, 'Applied')
  const text = lines.join('')
  assert.match(text, /INFO.*Applied/)
  assert.match(text, /databaseId: "d1"/)
  assert.match(text, /reconcileId: "r1"/)
  assert.ok(!text.includes('hunter2'), text)
})

test('redaction costs little on lines as long as logs get', () => {
  const field = { list: Array.from({ length: 500 }, (_, index) => ({ name: `container-${String(index)}`, image: 'a'.repeat(40) })), text: 'x'.repeat(50_000), slashes: '\\'.repeat(2_000) }
  const startedAt = performance.now()
  logged((logger) => logger.info(field, 'Long'))
  assert.ok(performance.now() - startedAt < 200)
})

test('the metrics are exposed in the text format, under one prefix, and label by nothing that grows with the fleet', async () => {
  const metrics = createMetrics({ ofProcess: false })
  metrics.reconcilePasses.inc({ outcome: 'settled' })
  metrics.engineCallDuration.observe({ host: 'local', verb: 'list', outcome: 'ok' }, 0.01)
  metrics.apiRequestDuration.observe({ method: 'GET', route: '/v1/databases/:id', status: 200 }, 0.01)
  metrics.conditions.set({ type: 'Ready', status: 'true' }, 3)
  const text = await metrics.registry.metrics()
  assert.match(text, /^holdfast_reconcile_passes_total\{outcome="settled"\} 1$/m)
  assert.match(text, /^holdfast_conditions\{type="Ready",status="true"\} 3$/m)
  const unbounded = /[{,](database|instance|member|container|volume|team|project|id|path|address|error|message)[A-Za-z]*="/
  assert.doesNotMatch(text, unbounded)
  for (const { name } of await metrics.registry.getMetricsAsJSON()) assert.match(name, /^holdfast_/)
})

test('two sets of metrics do not meet, and the process is measured on demand', async () => {
  const [one, other] = [createMetrics(), createMetrics({ ofProcess: false })]
  one.leaseLosses.inc()
  assert.match(await one.registry.metrics(), /^process_cpu_seconds_total /m)
  assert.match(await other.registry.metrics(), /^holdfast_lease_losses_total 0$/m)
})
