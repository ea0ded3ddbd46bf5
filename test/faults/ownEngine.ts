/** An engine that belongs to a test: started, ended in order or killed, and started again, by the socket where the product looks for one. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDocker, localEngine } from '../../src/bootstrap/dockerConnection.ts'

export interface OwnEngine {
  /** Resolves when it answers. */
  start(): Promise<void>
  /** Resolves when its process is gone; in order, it has ended its containers by then. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

const answerLimitMs = 120_000
const lookMs = 50

/** Only in a network namespace and with a /run of its own. */
export function ownEngine(folder: string): OwnEngine {
  let daemon: ChildProcess | null = null
  return {
    async start() {
      if (daemon !== null) throw new Error('the engine runs')
      await mkdir(join(folder, 'data'), { recursive: true })
      const log = await open(join(folder, 'dockerd.log'), 'a')
      // control groups are the machine's, whatever the namespace: they get a place of their own
      const args = ['--data-root', join(folder, 'data'), '--cgroup-parent', `/${basename(folder)}`, '--exec-opt', 'native.cgroupdriver=cgroupfs']
      const child = spawn('dockerd', args, { cwd: '/', stdio: ['ignore', log.fd, log.fd] })
      await log.close()
      daemon = child
      await answering(child)
    },
    async end(signal) {
      const dying = daemon
      if (dying === null) throw new Error('the engine does not run')
      daemon = null
      const ended = once(dying, 'exit')
      dying.kill(signal)
      await ended
      // a machine that starts finds an empty /run; a number that is given again would be taken for a living engine
      if (signal === 'SIGKILL') await rm('/run/docker.pid', { force: true })
    },
  }
}

async function answering(child: ChildProcess): Promise<void> {
  const docker = openDocker(localEngine)
  const deadline = performance.now() + answerLimitMs
  while (!(await docker.ping().then(() => true, () => false))) {
    if (child.exitCode !== null) throw new Error(`the engine ended with ${child.exitCode}; its log says why`)
    if (performance.now() > deadline) throw new Error(`the engine did not answer within ${answerLimitMs / 1_000} s`)
    await sleep(lookMs)
  }
}
