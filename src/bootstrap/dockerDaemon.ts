/**
 * Installs the distribution's Docker and starts it: by systemd where that runs, else by hand, as a process of its own that
 * outlives us. What a stopped machine left behind (files that name processes which are gone) is cleared, nothing else.
 */
import { spawn } from 'node:child_process'
import { access, mkdir, open, readFile, unlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError } from '../domain/errors.ts'
import { runCommand } from './command.ts'
import type { Machine } from './machine.ts'
import { installPackages } from './packages.ts'
import type { Report } from './progress.ts'

export interface StartOptions {
  readonly report: Report
  readonly signal: AbortSignal
  readonly machine: Machine
  readonly answers: () => Promise<boolean>
}

const daemonPaths = ['/usr/sbin/dockerd', '/usr/bin/dockerd', '/usr/local/bin/dockerd']
const logFile = '/var/log/holdfast-dockerd.log'
/** Its first start took 8 s on a slow disk; one that restores many containers takes longer. */
const startTimeoutMs = 90_000
const pollMs = 100
const systemctlTimeoutMs = 90_000

/** dockerd refuses to start while its file names a process that lives; after a restart of the machine that may be any process. */
const pidFiles = [
  { path: '/var/run/docker.pid', program: 'dockerd' },
  { path: '/var/run/docker/containerd/containerd.pid', program: 'containerd' },
]

export async function installAndStart({ report, signal, machine, answers }: StartOptions): Promise<void> {
  if ((await installedDaemon()) === null) {
    report({ step: 'engine', detail: 'installing docker.io' })
    await installPackages(['docker.io', 'iptables', 'ca-certificates'], signal).catch((error: unknown) => {
      signal.throwIfAborted()
      throw missing('docker.io could not be installed', error)
    })
  }
  report({ step: 'engine', detail: 'starting dockerd' })
  if (machine.hasSystemd) await runCommand('systemctl', ['start', 'docker'], { timeoutMs: systemctlTimeoutMs, signal })
  else if (!(await daemonRuns())) await startByHand()
  await untilAnswering(answers, signal)
}

async function installedDaemon(): Promise<string | null> {
  for (const path of daemonPaths) {
    if (await access(path).then(() => true, () => false)) return path
  }
  return null
}

/** Whether a dockerd of this machine is alive, perhaps still starting. Clears pid files of processes that are gone. */
async function daemonRuns(): Promise<boolean> {
  let runs = false
  for (const { path, program } of pidFiles) {
    const pid = Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10)
    if (!Number.isInteger(pid)) continue
    if ((await nameOf(pid)) === program) runs ||= program === 'dockerd'
    else await unlink(path).catch(() => undefined)
  }
  return runs
}

async function nameOf(pid: number): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
  return name.trim()
}

async function startByHand(): Promise<void> {
  const daemon = await installedDaemon()
  if (daemon === null) throw missing('docker.io was installed and brought no dockerd')
  await mkdir('/var/log', { recursive: true })
  const log = await open(logFile, 'a', 0o640)
  try {
    // Detached is a session of its own: the end of this process or of its terminal does not reach it.
    const child = spawn(daemon, [], { detached: true, cwd: '/', stdio: ['ignore', log.fd, log.fd] })
    child.on('error', () => undefined)
    child.unref()
  } finally {
    await log.close()
  }
}

async function untilAnswering(answers: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + startTimeoutMs
  while (!(await answers())) {
    if (Date.now() > deadline) throw missing(`dockerd was started and does not answer after ${startTimeoutMs / 1000} seconds; its log is ${logFile}`)
    await delay(pollMs, undefined, { signal })
  }
}

function missing(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('EngineMissing', `No Docker engine runs: ${what}`, {
    cause, next: 'Install Docker Engine 20.10 or newer and start it, then run this again',
  })
}
