/** The demo's story as a program that checks it sees it: its contract, on a service that runs already. */
import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { before, describe, test } from 'node:test'
import { z } from 'zod'
import { answerIn, holdfast, type Outcome } from '../harness/command.ts'
import { endings } from '../harness/endings.ts'
import { openService, type TestService } from '../harness/service.ts'

/** The story takes about two minutes, and each of its waits has a limit of its own: this one is for a machine that is busy with all else. */
const demoTimeoutMs = 480_000
const answerSchema = z.object({
  schema: z.literal('holdfast.demo/1'), ok: z.boolean(), durationMs: z.number(),
  steps: z.array(z.object({ id: z.string(), ok: z.boolean(), ms: z.number(), error: z.string().nullable() })),
  apiUrl: z.url(), consoleUrl: z.url().nullable(), credentialsFile: z.string(), caFile: z.string(),
  databases: z.array(z.object({
    id: z.uuid(), name: z.string(), tier: z.string(), topology: z.enum(['standalone', 'ha']), urls: z.object({ rw: z.string(), ro: z.string(), pooled: z.string() }),
  })),
  gaps: z.array(z.object({ event: z.string(), writeGapMs: z.number(), readGapMs: z.number(), acked: z.number(), lost: z.number() })),
})
const credentialsSchema = z.object({ apiToken: z.string(), databases: z.record(z.string(), z.object({ user: z.string(), password: z.string(), database: z.string() })) })

describe('the demo', () => {
  const ending = endings()
  let service: TestService
  let outcome: Outcome
  let answer: z.output<typeof answerSchema>

  before(async () => {
    service = await openService(ending)
    outcome = await holdfast(['demo', '--json'], service.settings, demoTimeoutMs)
    assert.equal(outcome.code, 0, outcome.stderr)
    answer = answerSchema.parse(answerIn(outcome))
  })

  test('tells all its steps, each of them done', () => {
    assert.deepEqual(answer.steps.map(({ id }) => id), ['engine', 'images', 'controlDatabase', 'objectStore', 'controller', 'create', 'write', 'backup', 'restore', 'compare', 'createHa', 'killLeader', 'upgrade', 'rollback', 'upgradeAgain'])
    assert.deepEqual(answer.steps.filter(({ ok, error }) => !ok || error !== null), [])
    assert.equal(answer.ok, true)
  })

  test('kills leaders, upgrades and goes back while clients write, and finds every acknowledged row again', (t) => {
    for (const { event, writeGapMs, readGapMs } of answer.gaps) t.diagnostic(`${event}: writes stood still for ${writeGapMs} ms, reads for ${readGapMs} ms`)
    assert.deepEqual(answer.gaps.map(({ event, lost, acked }) => [event, lost, acked > 100]),
      ['killLeader', 'upgrade', 'killLeaderAfterUpgrade', 'rollback', 'upgradeAgain'].map((event) => [event, 0, true]))
  })

  test('prints one line on standard output and no password anywhere', async () => {
    assert.equal(outcome.stdout.trim().split('\n').length, 1)
    const { apiToken, databases } = credentialsSchema.parse(JSON.parse(await readFile(answer.credentialsFile, 'utf8')))
    for (const secret of [apiToken, ...Object.values(databases).map(({ password }) => password)]) {
      assert.ok(!outcome.stdout.includes(secret) && !outcome.stderr.includes(secret))
      await service.noteSecret('password of the demo', secret)
    }
    assert.equal((await stat(answer.credentialsFile)).mode & 0o777, 0o600)
    assert.deepEqual(Object.keys(databases).sort(), answer.databases.map(({ id }) => id).sort())
  })

  test('leaves an upgraded database, its restored copy and a cluster, whose URLs name the ports that answer', () => {
    assert.deepEqual(answer.databases.map(({ name, tier, topology }) => [name, tier, topology]),
      [['shop', 'standard', 'ha'], ['shop-restored', 'starter', 'standalone'], ['shop-ha', 'standard', 'ha']])
    for (const { urls } of answer.databases) for (const url of Object.values(urls)) assert.match(url, /^postgresql:\/\/[^:@]+@localhost:\d+\/[a-z_]+\?sslmode=verify-full$/)
  })
})
