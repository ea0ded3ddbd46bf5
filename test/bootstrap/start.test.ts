/** The start script in folders of its own, with a stand-in for npm that installs nothing but a link to this Node. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'

const npm = `
  const fs = require('node:fs')
  fs.appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n')
  console.log('noise of npm')
  if (fs.existsSync('npm-fails')) process.exit(1)
  fs.mkdirSync('node_modules/.bin', { recursive: true })
  fs.rmSync('node_modules/.bin/node', { force: true })
  fs.symlinkSync(process.execPath, 'node_modules/.bin/node')
`
const main = `
  process.on('SIGTERM', () => process.exit(7))
  console.log(JSON.stringify(process.argv.slice(2)))
  if (process.argv[2] === 'wait') setTimeout(() => undefined, 20_000)
  else process.exitCode = 4
`

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | null
}

async function clone(t: TestContext): Promise<{ directory: string; start: (...args: readonly string[]) => Promise<Outcome>; npmCalls: () => Promise<number> }> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-start-'))
  t.after(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, 'src/bootstrap'), { recursive: true })
  await mkdir(join(directory, 'src/cli'))
  await copyFile(join(import.meta.dirname, '../../src/bootstrap/start.mjs'), join(directory, 'src/bootstrap/start.mjs'))
  await writeFile(join(directory, 'npm.js'), npm)
  await writeFile(join(directory, 'package.json'), '{"type":"commonjs"}')
  await writeFile(join(directory, 'package-lock.json'), '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"}}}')
  await writeFile(join(directory, 'src/cli/main.ts'), main)
  await writeFile(join(directory, 'src/bootstrap/test.ts'), "console.log('tests ' + process.argv.slice(2).join(' '))")
  const start = async (...args: readonly string[]): Promise<Outcome> => {
    const child = spawn(process.execPath, ['src/bootstrap/start.mjs', ...args], {
      cwd: directory, env: { ...process.env, npm_execpath: join(directory, 'npm.js') }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000,
    })
    if (args[0] === 'wait') child.stdout.once('data', () => child.kill('SIGTERM'))
    const code = new Promise<number | null>((resolve) => child.once('close', resolve))
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { stdout, stderr, code: await code }
  }
  const npmCalls = async (): Promise<number> => (await readFile(join(directory, 'npm-calls'), 'utf8').catch(() => '')).split('\n').length - 1
  return { directory, start, npmCalls }
}

test('a fresh clone is installed first, and stdout belongs to the command alone', async (t) => {
  const { start, npmCalls } = await clone(t)
  const outcome = await start('demo', '--json', 'a b')
  assert.deepEqual({ ...outcome, stderr: '' }, { stdout: '["demo","--json","a b"]\n', stderr: '', code: 4 })
  assert.match(outcome.stderr, /^Installing dependencies/)
  assert.match(outcome.stderr, /noise of npm/)
  assert.equal(await npmCalls(), 1)
})

test('what is installed is not installed again until the lock file changes', async (t) => {
  const { directory, start, npmCalls } = await clone(t)
  await start('up')
  assert.equal((await start('up')).stderr, '')
  assert.equal(await npmCalls(), 1)
  await writeFile(join(directory, 'package-lock.json'), '{"packages":{"":{},"node_modules/a":{"version":"2.0.0"}}}')
  await start('up')
  assert.equal(await npmCalls(), 2)
})

test('what a developer installed with npm is recognised by its record, unless a version differs', async (t) => {
  const { directory, start, npmCalls } = await clone(t)
  await start('up')
  const record = (version: string): Promise<void> =>
    writeFile(join(directory, 'node_modules/.package-lock.json'), `{"packages":{"node_modules/a":{"version":"${version}"}}}`)
  await rm(join(directory, 'node_modules/.holdfast-lock-hash'))
  await record('1.0.0')
  await start('up')
  assert.equal(await npmCalls(), 1)
  await rm(join(directory, 'node_modules/.holdfast-lock-hash'))
  await record('1.0.1')
  await start('up')
  assert.equal(await npmCalls(), 2)
})

test('a failed installation is exit code 3, one sentence, and nothing on stdout', async (t) => {
  const { directory, start } = await clone(t)
  await writeFile(join(directory, 'npm-fails'), '')
  const { stdout, stderr, code } = await start('demo')
  assert.deepEqual({ stdout, code }, { stdout: '', code: 3 })
  assert.match(stderr, /The dependencies could not be installed: [^\n]*\n$/)
})

test('tests are run by their own program, and no command is wrong usage', async (t) => {
  const { start } = await clone(t)
  assert.equal((await start('test', 'x')).stdout, 'tests x\n')
  assert.equal((await start()).code, 2)
})

test('a signal reaches the command, whose exit code comes back', async (t) => {
  const { start } = await clone(t)
  assert.equal((await start('wait')).code, 7)
})
