/** Faults of single processes, done from the machine itself: a process that cannot be reached inside its container can be signalled here. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import type { Site } from './site.ts'

export type ProcessKind = 'postmaster' | 'patroni'

const topSchema = z.object({ Titles: z.array(z.string()), Processes: z.array(z.array(z.string())).nullable() })
const stateSchema = z.object({ State: z.object({ Pid: z.int(), Running: z.boolean() }) })

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** By the machine's own number. */
export async function processOf(site: Site, container: string, kind: ProcessKind): Promise<number> {
  const all = await processesOf(site, container)
  const servers = all.filter(({ command }) => /^\S*postgres (-D|-c|--)/.test(command))
  const found = kind === 'patroni'
    ? all.filter(({ command }) => /python\S* .*patroni/.test(command))
    : servers.filter(({ parent }) => !servers.some(({ pid }) => pid === parent))
  const [first] = found
  if (first === undefined) throw new Error(`there is no ${kind} in ${container}: ${all.map(({ command }) => command.slice(0, 60)).join(', ')}`)
  return first.pid
}

export async function signalProcess(site: Site, container: string, kind: ProcessKind, signal: NodeJS.Signals): Promise<number> {
  const pid = await processOf(site, container, kind)
  process.kill(pid, signal)
  return pid
}

/** Goes on when it still is the process that was stopped; one that has ended meanwhile needs nothing. */
export async function resume(pid: number): Promise<void> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  if (/^\d+ \(.*\) T/.test(stat)) process.kill(pid, 'SIGCONT')
}

/** PID 1 of the container, from outside: the engine has no part in it. */
export async function killFirstProcess({ docker }: Site, container: string): Promise<void> {
  process.kill(await firstProcess({ docker }, container), 'SIGKILL')
}

export async function firstProcess({ docker }: Pick<Site, 'docker'>, container: string): Promise<number> {
  const { State } = stateSchema.parse(await docker.getContainer(container).inspect())
  if (!State.Running) throw new Error(`${container} does not run`)
  return State.Pid
}

async function processesOf({ docker }: Site, container: string): Promise<readonly Process[]> {
  const { Processes } = topSchema.parse(await docker.getContainer(container).top({ ps_args: '-eo pid,ppid,args' }))
  return (Processes ?? []).map(([pid, parent, ...command]) => ({ pid: Number(pid), parent: Number(parent), command: command.join(' ') }))
}
