/** What people and accidents do to the containers of a database, done through the engine and never through the product. */
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import type Docker from 'dockerode'
import { label } from '../../src/domain/names.ts'
import { containerOf, imageOf, type Part } from '../harness/containers.ts'
import { testRun } from '../harness/testRun.ts'
import { NotYet, until } from '../harness/waiting.ts'
import type { Rig } from './rig.ts'

export type { Part } from '../harness/containers.ts'

const limitMs = 60_000

export async function partOf({ service }: Rig, databaseId: string, part: Part): Promise<Docker.Container> {
  return service.docker.getContainer((await containerOf(service, databaseId, part)).id)
}

export async function removeByHand(rig: Rig, databaseId: string, part: Part): Promise<void> {
  await (await partOf(rig, databaseId, part)).remove({ force: true })
}

/** The postmaster alone: the supervisor beside it lives on. */
export async function killPostmaster(rig: Rig, databaseId: string): Promise<void> {
  const { id } = await containerOf(rig.service, databaseId, 'member')
  const { exitCode, stderr } = await rig.service.engine.exec(id, ['sh', '-c', 'kill -9 "$(head -n 1 /data/pg/postmaster.pid)"'], {}, AbortSignal.timeout(limitMs))
  if (exitCode !== 0) throw new Error(`the postmaster could not be killed: ${stderr}`)
}

/** As one whose maker died before it could start it: nothing in its volumes is certain. Gives its id. */
export async function leaveHalfMade(rig: Rig, databaseId: string, part: Part, relabel: Readonly<Record<string, string>> = {}): Promise<string> {
  const old = await partOf(rig, databaseId, part)
  const { Name, Config, HostConfig } = await old.inspect()
  await old.remove({ force: true })
  const { Image, Cmd, Labels, User, ExposedPorts } = Config
  const made = await rig.service.docker.createContainer({
    name: Name.slice(1), Image, Cmd, User, HostConfig, Labels: { ...Labels, ...relabel }, ...(ExposedPorts !== undefined && { ExposedPorts }),
  })
  return made.id
}

export interface Stranger {
  readonly id: string
  /** Whether it still is what it was, untouched. */
  lives(): Promise<boolean>
  remove(): Promise<void>
}

/** Somebody else's container: it carries no label of the installation. */
export async function startStranger({ service }: Rig, name: string, binds: readonly string[] = []): Promise<Stranger> {
  const container = await service.docker.createContainer({
    name, Image: await imageOf(service, 'postgres'), Entrypoint: ['sleep', 'infinity'], Cmd: [],
    Labels: { [label.run]: testRun }, HostConfig: { Binds: [...binds], Init: true },
  })
  await container.start()
  return {
    id: container.id,
    lives: async () => (await container.inspect()).State.Running,
    remove: async () => void (await container.remove({ force: true })),
  }
}

/** Another process of this machine takes a port, as soon as it is free. */
export async function occupy(port: number): Promise<Server> {
  return until(`the port ${port} to be free`, async () => {
    // who connects meanwhile is sent away: a server closes only when nobody is connected any more
    const server = createServer((socket) => socket.destroy())
    server.listen(port, '0.0.0.0')
    try {
      await once(server, 'listening')
      return server
    } catch (error) {
      return new NotYet(String(error))
    }
  })
}

export async function vacate(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}

/** A part that runs, and is not the one it was. */
export async function replaced(rig: Rig, databaseId: string, part: Part, oldId: string): Promise<void> {
  await until(`another ${part} of ${databaseId}`, async () => {
    const seen = await containerOf(rig.service, databaseId, part).catch((error: unknown) => new NotYet(String(error)))
    if (seen instanceof NotYet) return seen
    return seen.id !== oldId && seen.state === 'running' ? true : new NotYet(`${seen.id === oldId ? 'the old one' : 'a new one'}, ${seen.state}`)
  })
}

/** The running container of a job of this kind, as soon as there is one. */
export async function runningJob({ service }: Rig, databaseId: string, kind: 'backup' | 'verify' | 'restore'): Promise<Docker.Container> {
  const job = await until(`a ${kind} job of ${databaseId}`, async () => {
    const all = await service.engine.listContainers({ [label.database]: databaseId, [label.kind]: 'job' }, AbortSignal.timeout(limitMs))
    return all.find(({ labels, state }) => labels[label.job]?.includes(`-${kind}-`) === true && state === 'running') ?? new NotYet(all.map(({ name, state }) => `${name} ${state}`).join())
  }, { everyMs: 20 })
  return service.docker.getContainer(job.id)
}
