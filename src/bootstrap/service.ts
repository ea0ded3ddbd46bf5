/**
 * The controller as a process of its own: started in the background, found again by its pid file, stopped in order.
 * A running one of the same revision is left alone; one of another revision is replaced.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'

const root = new URL('../../', import.meta.url).pathname
const recordSchema = z.strictObject({ pid: z.int().positive(), revision: z.string() })

/** Stopping waits for the passes under way, which are bounded by their own limit. */
const stopTimeoutMs = 60_000
const lookMs = 50

/** Starts it, or finds it running. Says whether it was started. The API answers a moment later: ask /readyz. */
export async function startController(config: Config): Promise<{ readonly started: boolean; readonly pid: number }> {
  const revision = await codeRevision()
  const running = await runningController(config)
  if (running !== null && running.revision === revision) return { started: false, pid: running.pid }
  if (running !== null) await stopController(config)
  const log = await open(logFile(config), 'a', 0o600)
  try {
    const child = spawn(process.execPath, [join(root, 'src/main.ts')], {
      cwd: root, detached: true, stdio: ['ignore', log.fd, log.fd], env: { ...process.env, HOLDFAST_STATE_DIR: config.stateDir },
    })
    if (child.pid === undefined) throw new HoldfastError('StartFailed', 'The controller could not be started', { next: `Look into ${logFile(config)}` })
    child.unref()
    await writeFile(pidFile(config), JSON.stringify({ pid: child.pid, revision }), { mode: 0o600 })
    return { started: true, pid: child.pid }
  } finally {
    await log.close()
  }
}

/** True when there was one. */
export async function stopController(config: Config): Promise<boolean> {
  const running = await runningController(config)
  if (running === null) return false
  process.kill(running.pid, 'SIGTERM')
  const deadline = Date.now() + stopTimeoutMs
  while (await isController(running.pid)) {
    if (Date.now() > deadline) {
      throw new HoldfastError('TimedOut', `The controller (process ${running.pid}) did not stop within ${stopTimeoutMs / 1000} s`, { next: 'End it by hand and try again' })
    }
    await sleep(lookMs)
  }
  await rm(pidFile(config), { force: true })
  return true
}

export async function controllerRuns(config: Config): Promise<boolean> {
  return (await runningController(config)) !== null
}

export function logFile(config: Config): string {
  return join(config.stateDir, 'controller.log')
}

async function runningController(config: Config): Promise<z.infer<typeof recordSchema> | null> {
  const text = await readFile(pidFile(config), 'utf8').catch(() => null)
  const parsed = text === null ? null : recordSchema.safeParse(parseJson(text))
  if (parsed === null || !parsed.success) return null
  return (await isController(parsed.data.pid)) ? parsed.data : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // a pid file cut off by a crash names nobody
    return null
  }
}

/** A pid alone may belong to somebody else by now; the command line tells, and a zombie has none. */
async function isController(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return command.includes('src/main.ts')
}

function pidFile(config: Config): string {
  return join(config.stateDir, 'controller.json')
}

/** Hash of everything the controller runs from. */
async function codeRevision(): Promise<string> {
  const hash = createHash('sha256')
  for (const folder of ['src', 'templates', 'migrations']) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort()
    for (const file of files) hash.update(file).update(await readFile(file))
  }
  return hash.digest('hex').slice(0, 16)
}
