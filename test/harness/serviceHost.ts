/**
 * A whole service for end-to-end tests, as a process: started by the product's own `up` on places of its own, told in one line
 * on standard output, and taken down by `down` when standard input ends, so also when whoever started it dies.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureEngine } from '../../src/bootstrap/engine.ts'
import { holdfast } from './command.ts'
import { findPlaces } from './places.ts'
import { startRecorder } from './recorder.ts'

const upTimeoutMs = 15 * 60_000
const downTimeoutMs = 3 * 60_000

const folder = await mkdtemp(join(process.env['HFT_FOLDER'] ?? tmpdir(), 'hft-service-'))
const records = join(folder, 'records')
await mkdir(records)
const { docker, connection } = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(upTimeoutMs) })
const found = await findPlaces(docker, folder)
// so that a copy of some size can be met half-way; one of an empty database takes a second
const places = { ...found, settings: { ...found.settings, HOLDFAST_COPY_RATE_MIB: '32' } }
const recorder = await startRecorder({ docker, connection, installation: places.installation, folder: records })

process.exitCode = (await serve()) ? 0 : 1

async function serve(): Promise<boolean> {
  try {
    const up = await holdfast(['up', '--json'], places.settings, upTimeoutMs)
    if (up.code !== 0) {
      process.stderr.write(`the service did not start (exit code ${up.code}):\n${up.stderr}${up.stdout}`)
      return false
    }
    process.stdout.write(`${JSON.stringify({ ...places, folder })}\n`)
    await ended()
    return true
  } finally {
    const down = await holdfast(['down', '--json'], places.settings, downTimeoutMs)
    await recorder.stop()
    if (down.code === 0) await rm(folder, { recursive: true, force: true })
    else {
      process.stderr.write(`the service did not go down (exit code ${down.code}):\n${down.stderr}${down.stdout}`)
      process.exitCode = 1
    }
  }
}

/** Of standard input, or of our patience with whoever holds it. */
function ended(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('end', resolve).once('close', resolve).resume()
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}
