/** Faults of one member: its containers by the engine, its first process from the machine, its single processes. */
import { z } from 'zod'
import { nothingToEnd, type Fault, type Stage } from './fault.ts'
import type { MemberPlace } from './members.ts'
import { killFirstProcess, resume, signalProcess, type ProcessKind } from './processes.ts'
import type { Site } from './site.ts'
import { NotYet, until } from '../waiting.ts'

export type MemberFault = (stage: Stage, place: MemberPlace) => Promise<Omit<Fault, 'kind' | 'target'>>

/** The engine gives a container so long before it kills it. */
const stopSeconds = 60
const limitMs = 90_000
const pausedSchema = z.object({ Id: z.string(), State: z.object({ Paused: z.boolean() }) })

export const memberFaults = {
  ContainerKilled: async ({ site }, { container }) => {
    await site.docker.getContainer(container).kill()
    return { end: nothingToEnd }
  },
  /** From the machine: the engine only sees that it has ended. */
  FirstProcessKilled: async ({ site }, { container }) => {
    await killFirstProcess(site, container)
    return { end: nothingToEnd }
  },
  ContainerStopped: async ({ site }, { container }) => {
    await site.engine.stopContainer(container, stopSeconds, AbortSignal.timeout(limitMs))
    return { end: nothingToEnd }
  },
  ContainerPaused: async ({ site }, { container }) => {
    const paused = await pause(site, container)
    return { end: () => unpause(site, paused) }
  },
  ContainerAndVolumeRemoved: async ({ site }, { container, dataVolume }) => {
    await site.engine.removeContainer(container, { force: true }, AbortSignal.timeout(limitMs))
    await site.engine.removeVolume(dataVolume, AbortSignal.timeout(limitMs))
    return { end: nothingToEnd }
  },
  PostmasterKilled: killed('postmaster'),
  PatroniKilled: killed('patroni'),
  PostmasterFrozen: stopped('postmaster'),
  PatroniFrozen: stopped('patroni'),
  DiskFull: async ({ site }, { container }) => {
    await inMember(site, container, `dd if=/dev/zero of=/data/filled bs=1M 2>/dev/null; sync; true`)
    // its container may just be down, or be made anew: with a disk that stays full it would never be well again
    return {
      end: () => until('the disk to have room again', () => inMember(site, container, 'rm -f /data/filled').then(() => true, (error: unknown) => new NotYet(String(error))), { limitMs, everyMs: 200 }).then(() => undefined),
    }
  },
} as const satisfies Record<string, MemberFault>

function killed(kind: ProcessKind): MemberFault {
  return async ({ site }, { container }) => {
    await signalProcess(site, container, kind, 'SIGKILL')
    return { end: nothingToEnd }
  }
}

function stopped(kind: ProcessKind): MemberFault {
  return async ({ site }, { container }) => {
    const pid = await signalProcess(site, container, kind, 'SIGSTOP')
    return { end: () => resume(pid) }
  }
}

/** Gives its id. */
export async function pause({ docker }: Site, container: string): Promise<string> {
  const { Id } = pausedSchema.parse(await docker.getContainer(container).inspect())
  await docker.getContainer(Id).pause()
  return Id
}

/** Whoever killed or replaced it meanwhile has ended the pause, too. */
export async function unpause({ docker }: Site, id: string): Promise<void> {
  const seen = pausedSchema.safeParse(await docker.getContainer(id).inspect().catch(() => null))
  if (seen.success && seen.data.State.Paused) await docker.getContainer(id).unpause()
}

async function inMember({ engine }: Site, container: string, script: string): Promise<void> {
  const { exitCode, stderr } = await engine.exec(container, ['sh', '-c', script], { timeoutMs: limitMs }, AbortSignal.timeout(limitMs))
  if (exitCode !== 0) throw new Error(`${container}: ${stderr}`)
}
