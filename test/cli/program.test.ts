/** What every command promises: where it prints, and with which code it ends. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runProgram } from '../../src/cli/program.ts'
import { table } from '../../src/cli/terminal.ts'

async function run(args: readonly string[], environment: Record<string, string> = {}) {
  let [out, err] = ['', '']
  const terminal = { out: (text: string) => { out += text }, err: (text: string) => { err += text } }
  const code = await runProgram(args, { terminal, environment })
  return { code, out, err }
}

for (const args of [['nonsense'], ['teams'], ['teams', 'create'], ['databases', 'set-tier', 'id', 'huge'], ['events', '--limit', 'many'], ['ha', 'maybe', '--team', 'id'], ['ha', 'on'], ['explain', 'latest'], ['databases', 'set-durability', 'id', 'none'], ['switchover'], ['bench', 'nonsense'], ['teams', 'list', '--nonsense']]) {
  test(`holdfast ${args.join(' ')} is wrong usage and says so in JSON too`, async () => {
    const { code, out, err } = await run([...args, '--json'])
    assert.equal(code, 2)
    const lines = out.trimEnd().split('\n')
    assert.equal(lines.length, 1)
    assert.partialDeepStrictEqual(JSON.parse(lines[0] ?? ''), { ok: false, error: { code: 'WrongUsage' } })
    assert.match(err, /--help/)
  })
}

test('help ends well and goes to stdout', async () => {
  const { code, out } = await run(['databases', '--help'])
  assert.equal(code, 0)
  assert.match(out, /create .*\n[^]*delete /)
})

test('without a service on this machine the environment is unfit', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'hf-cli-'))
  t.after(() => rm(stateDir, { recursive: true }))
  const { code, err } = await run(['teams', 'list', '--state-dir', stateDir])
  assert.equal(code, 3)
  assert.match(err, /admin-token[^]*holdfast up/)
})

test('a service that does not answer is a failure that says what to look at', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'hf-cli-'))
  t.after(() => rm(stateDir, { recursive: true }))
  await Promise.all(['admin-token', 'ca.pem'].map((file) => writeFile(join(stateDir, file), 'nothing')))
  const { code, out } = await run(['teams', 'list', '--json', '--state-dir', stateDir, '--api-url', 'https://127.0.0.1:2'])
  assert.equal(code, 1)
  assert.partialDeepStrictEqual(JSON.parse(out), { ok: false, error: { code: 'ServiceUnreachable' } })
})

test('columns are as wide as their widest cell', () => {
  assert.equal(table(['A', 'LONG'], [['wide cell', null], ['b', 7]]), 'A          LONG\nwide cell  -\nb          7')
})
