/**
 * The first thing that runs on a fresh clone: plain JavaScript for the Node that the machine happens to have (18 or newer),
 * before any dependency is there. It installs what package-lock.json names and hands over to the pinned Node.
 * Nothing is written to stdout here: that belongs to the command.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const node = join(root, 'node_modules', '.bin', 'node')
const lockFile = join(root, 'package-lock.json')
const stampFile = join(root, 'node_modules', '.holdfast-lock-hash')
const exitUnfit = 3
const exitUsage = 2

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  process.stderr.write('usage: node src/bootstrap/start.mjs <command> [arguments]\n')
  process.exit(exitUsage)
}
if (!installed()) await install()
// These run the tests, which are no part of the product's own commands.
const testing = new Map([['test', 'src/bootstrap/test.ts'], ['faults', 'src/bootstrap/faults.ts'], ['chaos', 'test/chaos/main.ts']]).get(command)
const program = testing === undefined ? ['src/cli/main.ts', command, ...args] : [testing, ...args]
process.exit(await run(node, program, 'inherit'))

/** What was installed is what the lock file names now. */
function installed() {
  if (!existsSync(node)) return false
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === lockHash()) return true
  if (!installedByHand()) return false
  writeFileSync(stampFile, lockHash())
  return true
}

/** Whether npm's own record of node_modules agrees: a developer who ran npm need not wait for it again. */
function installedByHand() {
  const record = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(record)) return false
  const present = JSON.parse(readFileSync(record, 'utf8')).packages
  return Object.entries(JSON.parse(readFileSync(lockFile, 'utf8')).packages).every(([path, { version, optional }]) =>
    path === '' || present[path]?.version === version || (optional === true && present[path] === undefined))
}

function lockHash() {
  return createHash('sha256').update(readFileSync(lockFile)).digest('hex')
}

async function install() {
  process.stderr.write('Installing dependencies (npm ci) …\n')
  // The npm that started this script, if one did: it need not be the first on the path.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  // The pinned Node is a development dependency, which a machine set up for production would leave out.
  const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--no-progress', '--loglevel=error']
  const code = await run(npm[0], [...npm.slice(1), ...flags], ['ignore', process.stderr, process.stderr])
  if (code === 0 && existsSync(node)) {
    writeFileSync(stampFile, lockHash())
    return
  }
  process.stderr.write(`The dependencies could not be installed: npm ci ended with ${code}; see that this machine reaches the npm registry and run this again.\n`)
  process.exit(exitUnfit)
}

/** Its exit code; 128 and the signal's number when a signal ended it, as a shell says it. */
function run(file, argv, stdio) {
  const child = spawn(file, argv, { cwd: root, stdio })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to everybody by itself; a second one would look like impatience.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`${file} could not be started: ${error.message}\n`)
      resolve(exitUnfit)
    })
    child.once('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}
