/** What watches the service: readiness tells what is wrong, metrics count by route, errors of ours say nothing of our inside. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { settings, startService } from './service.ts'

test('readiness fails as long as one check does, and says which', async (t) => {
  const checks = [{ name: 'controlDatabase', ok: true, message: 'it answers' }, { name: 'engines', ok: false, message: 'alpha has not answered for 40 s' }]
  const service = await startService(t, { readiness: async () => checks })
  const answer = await service.call(null, 'GET', '/readyz')
  assert.deepEqual([answer.status, answer.body], [503, { ready: false, checks }])
  assert.equal((await service.call(null, 'GET', '/healthz')).status, 200)
})

test('requests are measured by the pattern of their route', async (t) => {
  const service = await startService(t, { settings: { ...settings, metricsArePublic: true } })
  await service.call(service.tokens.red, 'GET', `/v1/projects/${service.projects.red}`)
  const { text } = await service.call(null, 'GET', '/metrics')
  assert.match(text, /holdfast_api_request_duration_seconds_count\{method="GET",route="\/v1\/projects\/:id",status="200"\} 1/)
  assert.ok(!text.includes(service.projects.red))
})

test('with the control database away the answer says so, and that to try again', async (t) => {
  const service = await startService(t)
  await service.pool.end()
  const answer = await service.call(service.tokens.red, 'GET', '/v1/teams')
  assert.equal(answer.status, 503, answer.text)
  assert.match(answer.text, /"code":"ControlDatabaseUnavailable"/)
})

test('an error nobody foresaw is logged whole and answered without its inside', async (t) => {
  let log = ''
  const service = await startService(t, {
    logger: pino({ level: 'info' }, { write: (line: string) => { log += line } }),
    readiness: async () => { throw new Error('the inside of our house') },
  })
  const answer = await service.call(null, 'GET', '/readyz')
  assert.equal(answer.status, 500)
  assert.match(answer.text, /"code":"Internal"/)
  assert.ok(!answer.text.includes('inside of our house'))
  assert.match(log, /inside of our house/)
})

test('no log line of a request holds its token or a password', async (t) => {
  let log = ''
  const service = await startService(t, { logger: pino({ level: 'trace' }, { write: (line: string) => { log += line } }) })
  const made = await service.call(service.tokens.red, 'POST', `/v1/projects/${service.projects.red}/databases`, { name: 'orders', tier: 'starter' })
  await service.call(service.tokens.red, 'GET', '/v1/nothing')
  const password = /"password":"([^"]+)"/.exec(made.text)?.[1] ?? ''
  assert.ok(password.length > 20 && log.includes('request answered'))
  for (const secret of [service.tokens.red, password]) assert.ok(!log.includes(secret))
})
