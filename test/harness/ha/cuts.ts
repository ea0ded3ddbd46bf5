/** Cuts of the network inside a member's namespace, entered from the machine: packets vanish, as behind a broken switch. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { MemberPlace } from './members.ts'
import { firstProcess } from './processes.ts'
import type { Site } from './site.ts'

const execute = promisify(execFile)
const timeoutMs = 10_000

/** `towards`: what the member sends to these published ports; `from`: what comes from them; `both`. */
export type Direction = 'towards' | 'from' | 'both'

export interface Cut {
  /** What is gone already, with its namespace, needs no mending. */
  mend(): Promise<void>
}

/** Between the member and what is published at these ports of its host. */
export async function cutOff(site: Site, { pod, host }: MemberPlace, ports: readonly number[], direction: Direction): Promise<Cut> {
  const pid = await firstProcess(site, pod)
  const rules = ports.flatMap((port) => rulesFor(host, port, direction))
  for (const rule of rules) await inNamespace(pid, ['-I', ...rule])
  return {
    async mend() {
      const now = await firstProcess(site, pod).catch(() => null)
      if (now !== pid) return
      for (const rule of rules) await inNamespace(pid, ['-D', ...rule])
    },
  }
}

function rulesFor(host: string, port: number, direction: Direction): string[][] {
  const out = ['OUTPUT', '-d', host, '-p', 'tcp', '--dport', String(port), '-j', 'DROP']
  const back = ['INPUT', '-s', host, '-p', 'tcp', '--sport', String(port), '-j', 'DROP']
  switch (direction) {
    case 'towards':
      return [out]
    case 'from':
      return [back]
    case 'both':
      return [out, back]
  }
}

async function inNamespace(pid: number, rule: readonly string[]): Promise<void> {
  await execute('nsenter', ['--target', String(pid), '--net', 'iptables', '--wait', ...rule], { timeout: timeoutMs })
}
