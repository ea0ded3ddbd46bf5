/** The controller's own end and return: databases go on without it, and it finds everything as it was or makes it so. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { before, describe, test } from 'node:test'
import type pg from 'pg'
import { z } from 'zod'
import { label } from '../../../src/domain/names.ts'
import { containerOf, untilRunning } from '../../harness/containers.ts'
import { bringUp, controllerPid, endController } from '../../harness/controllerProcess.ts'
import { ask, conditionOf, databaseOf, deleteDatabase, newProject, readyDatabase, session, untilCondition, untilDatabase, withSession, type Made } from '../../harness/databases.ts'
import { endings } from '../../harness/endings.ts'
import { openService, type TestService } from '../../harness/service.ts'
import { NotYet, until } from '../../harness/waiting.ts'

describe('when the controller ends and comes back', () => {
  const ending = endings()
  let service: TestService
  let projectId: string
  let made: Made

  before(async () => {
    service = await openService(ending)
    projectId = (await newProject(service, 'restart')).projectId
    made = await readyDatabase(service, projectId, { name: 'steady' })
    ending.after(() => deleteDatabase(service, made))
    await untilRunning(service, made.id, 'agent')
    await withSession(service, made, (it) => it.query('create table kept as select 1 as one'))
  })

  /** The embedded services: what `up` may have made anew. */
  async function standing(): Promise<readonly string[]> {
    const listed = await service.engine.listContainers({ [label.installation]: service.config.installation }, AbortSignal.timeout(20_000))
    const ours = listed.filter(({ labels }) => ['controlDatabase', 'objectStore', 'disks'].includes(labels[label.kind] ?? '') || labels[label.database] === made.id)
    const seen = await Promise.all(ours.map(({ id }) => service.engine.inspectContainer(id, AbortSignal.timeout(20_000))))
    return seen.filter(({ labels }) => labels[label.kind] !== 'job').map(({ name, id, startedAt }) => `${name} ${id} ${startedAt?.toISOString() ?? ''}`).sort()
  }

  test('bringing it up a second time changes nothing', async () => {
    const [pid, before] = [await controllerPid(service), await standing()]
    const { steps } = await bringUp(service)
    assert.deepEqual(steps.map(({ id }) => id), ['engine', 'images', 'controlDatabase', 'objectStore', 'controller'])
    assert.deepEqual(await standing(), before)
    assert.equal(await controllerPid(service), pid)
  })

  test('databases serve while it is dead, and what broke meanwhile is mended when it is back', async () => {
    const member = await containerOf(service, made.id, 'member')
    const { endpoint } = await databaseOf(service, made.id)
    const held = await session(service, made)
    await endController(service, 'SIGKILL')
    assert.equal(await ask(held, 'select one from kept'), '1')
    assert.equal(await withSession(service, made, (it) => ask(it, 'select one from kept'), { endpoint }), '1')
    const proxy = await containerOf(service, made.id, 'endpoint')
    await service.engine.removeContainer(proxy.id, { force: true }, AbortSignal.timeout(20_000))
    await bringUp(service)
    const again = await untilRunning(service, made.id, 'endpoint')
    assert.notEqual(again.id, proxy.id)
    await untilCondition(service, made.id, 'Ready', 'true')
    assert.equal(await withSession(service, made, (it) => ask(it, 'select one from kept')), '1')
    assert.equal((await containerOf(service, made.id, 'member')).id, member.id, 'the member was left alone')
    await held.end().catch(() => undefined)
  })

  test('it ends in order when it is told to, and touches no database on the way', async () => {
    const before = await standing()
    await endController(service, 'SIGTERM')
    await bringUp(service)
    await untilCondition(service, made.id, 'Ready', 'true')
    assert.deepEqual(await standing(), before)
  })

  test('certificates are renewed in good time, under open sessions', async () => {
    // renewed after two thirds of it
    const lifetimeSeconds = 60
    await endController(service, 'SIGTERM')
    await bringUp(service, { HOLDFAST_CERTIFICATES_LIFETIME_SECONDS: String(lifetimeSeconds) })
    const brief = await readyDatabase(service, projectId, { name: 'brief' })
    ending.after(() => deleteDatabase(service, brief))
    const [held, pooled] = [await session(service, brief), await session(service, brief, { port: 'pooled' })]
    await untilRunning(service, brief.id, 'agent')
    const first = await shownBy(held)
    assert.ok(Date.parse(first.validTo) - Date.now() <= lifetimeSeconds * 1_000)
    for (const port of ['rw', 'pooled'] as const) await until(`${port} shows a new certificate`, async () => {
      const seen = await withSession(service, brief, shownBy, { port })
      return seen.fingerprint !== first.fingerprint && Date.parse(seen.validTo) > Date.parse(first.validTo) ? true : new NotYet(seen.validTo)
    }, { limitMs: lifetimeSeconds * 1_000, everyMs: 1_000 })
    // the first ones have an end, which has to come for this to show anything
    await sleep(Math.max(0, Date.parse(first.validTo) + 1_000 - Date.now()))
    assert.deepEqual([await ask(held, 'select 1'), await ask(pooled, 'select 1')], ['1', '1'], 'sessions from before are still there')
    for (const port of ['rw', 'ro', 'pooled'] as const) assert.equal(await withSession(service, brief, (it) => ask(it, 'select 1'), { port }), '1', port)
    await untilCondition(service, brief.id, 'CertificatesValid', 'true')
    await untilDatabase(service, brief.id, 'the agent receives WAL with its new certificate', (now) => conditionOf(now, 'WalArchived')?.status !== 'false' && now.status.lastError === null, { limitMs: 20_000 })
    await Promise.all([held.end(), pooled.end()])
  })
})

const connectionSchema = z.object({ connection: z.object({ stream: z.instanceof(TLSSocket) }) })

/** The certificate that a session's server showed. */
async function shownBy(client: pg.Client): Promise<{ readonly fingerprint: string; readonly validTo: string }> {
  const { fingerprint256, valid_to } = connectionSchema.parse(client).connection.stream.getPeerCertificate()
  return { fingerprint: fingerprint256, validTo: valid_to }
}
