/** The whole run, looked back over: no secret of it stands in any log, event, answer, row or container's description. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { z } from 'zod'
import { answerOf } from '../../../src/client/problem.ts'
import { label } from '../../../src/domain/names.ts'
import type { OpenStore } from '../../../src/main/openStore.ts'
import { backUpNow, deleteDatabase, newProject, readyDatabase, untilBackedUp, withSession } from '../../harness/databases.ts'
import { endings } from '../../harness/endings.ts'
import { findings, openStoreOf, secretsOf, type NamedSecret } from '../../harness/secrets.ts'
import { openService, type TestService } from '../../harness/service.ts'

const answerSchema = z.object({ method: z.string(), path: z.string(), status: z.int(), body: z.string() })
type Answer = z.output<typeof answerSchema>

describe('the secrets of a run', () => {
  const ending = endings()
  let service: TestService
  let opened: OpenStore
  let secrets: readonly NamedSecret[]
  let answers: readonly Answer[]

  before(async () => {
    service = await openService(ending)
    const { projectId, teamId } = await newProject(service, 'secrets')
    const made = await readyDatabase(service, projectId, { name: 'guarded' })
    ending.after(() => deleteDatabase(service, made))
    await untilBackedUp(service, made.id)
    const { credentials } = await answerOf(service.api.POST('/v1/databases/{id}/credentials/rotate', { params: { path: { id: made.id } }, body: { overlapSeconds: 600 } }))
    await service.noteSecret(`password of ${credentials.user}`, credentials.password)
    const { token } = await answerOf(service.api.POST('/v1/tokens', { body: { name: 'a member', role: 'member', teamId } }))
    await service.noteSecret('token of a team', token)
    // what fails says most
    await assert.rejects(withSession(service, made, (it) => it.query('select 1'), { password: `${credentials.password}x` }))
    await service.connect(token).GET('/v1/hosts')
    await backUpNow(service, made.id)
    opened = await openStoreOf(service)
    ending.after(() => opened.pool.end())
    secrets = await secretsOf(service, opened)
    answers = (await readFile(join(service.records, 'answers.jsonl'), 'utf8')).trim().split('\n').map((line) => answerSchema.parse(JSON.parse(line)))
  })

  test('are of every kind there is, so that their absence says something', () => {
    for (const kind of ['master key', 'admin token', 'secret key of the object store', 'key of the authority', 'password of', 'verifier of', 'cipher of', 'key of member', 'key of agent', 'key of endpointServer', 'token of']) {
      assert.ok(secrets.some(({ what }) => what.startsWith(kind)), kind)
    }
  })

  test('are shown by the answer that makes them, and by no other answer', () => {
    const once = answers.filter(makesSecret)
    assert.ok(findings(secrets, textsOf(once)).length > 0, 'they are found where they are')
    assert.deepEqual(findings(secrets, textsOf(answers.filter((answer) => !makesSecret(answer)))), [])
    for (const answer of once) assert.ok(findings(secrets.filter(({ what }) => !/^(password|token) of/.test(what)), textsOf([answer])).length === 0, `${answer.method} ${answer.path}`)
  })

  test('are in no log: not of the controller, not of any container that ran', async () => {
    const names = (await readdir(service.records)).filter((name) => name.endsWith('.log'))
    const logs = await Promise.all(names.map(async (name) => [name, await readFile(join(service.records, name), 'utf8')] as const))
    const controller = await readFile(join(service.config.stateDir, 'controller.log'), 'utf8')
    assert.ok(controller.includes('action applied') && logs.some(([name, text]) => /-(db|job)-/.test(name) && text !== ''), 'the logs were kept')
    assert.deepEqual(findings(secrets, new Map([...logs, ['controller.log', controller]])), [])
  })

  test('are in no environment, argument, label or any other part of a container’s description', async () => {
    const inspections = await readFile(join(service.records, 'inspect.jsonl'), 'utf8')
    assert.ok(inspections.split('\n').length > 5)
    assert.deepEqual(findings(secrets, new Map([['inspect', inspections]])), [])
    const { engine, config } = service
    const running = (await engine.listContainers({ [label.installation]: config.installation }, AbortSignal.timeout(20_000))).filter(({ state }) => state === 'running')
    const processes = await Promise.all(running.map(async ({ id, name }) => {
      const { stdout } = await engine.exec(id, ['sh', '-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"'], {}, AbortSignal.timeout(30_000))
      return [`processes of ${name}`, stdout] as const
    }))
    assert.deepEqual(findings(secrets, new Map(processes)), [])
  })

  test('are in no row of the control database in clear: not in an event, the audit log, an error, an operation', async () => {
    const { rows } = await opened.pool.query<{ name: string }>(`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`)
    const names = rows.map(({ name }) => name)
    for (const expected of ['events', 'work_items', 'operations', 'credentials']) assert.ok(names.includes(expected), `${expected} is among ${names.join(', ')}`)
    const texts = await Promise.all(names.map(async (name) => {
      const { rows: found } = await opened.pool.query<{ text: string }>(`select row_to_json(t)::text as text from "${name}" t`)
      return [`table ${name}`, found.map(({ text }) => text).join('\n')] as const
    }))
    assert.deepEqual(findings(secrets, new Map(texts)), [])
  })

  test('are in files that their owner alone may read', async () => {
    const { stateDir } = service.config
    assert.equal((await stat(stateDir)).mode & 0o777, 0o700)
    for (const name of await readdir(stateDir)) {
      const text = await readFile(join(stateDir, name), 'utf8')
      if (findings(secrets, new Map([[name, text]])).length > 0) assert.equal((await stat(join(stateDir, name))).mode & 0o077, 0, name)
    }
  })
})

/** Whoever asked for it is told it in this answer, once. */
function makesSecret({ method, path, status }: Answer): boolean {
  return method === 'POST' && status === 201 && /\/(databases|rotate|tokens)$/.test(path)
}

function textsOf(answers: readonly Answer[]): ReadonlyMap<string, string> {
  return new Map(answers.map(({ method, path, body }, index) => [`answer ${index} of ${method} ${path}`, body]))
}
