/** The containers of a service, as the engine tells about them. */
import { z } from 'zod'
import type { ContainerListed } from '../../src/clients/docker.ts'
import { ensureImages, type ImageName } from '../../src/bootstrap/images.ts'
import { label } from '../../src/domain/names.ts'
import type { TestService } from './service.ts'
import { NotYet, until } from './waiting.ts'

const timeoutMs = 30_000
const imageTimeoutMs = 10 * 60_000

export function imageOf({ docker }: TestService, name: ImageName): Promise<string> {
  return ensureImages({ docker, names: [name], report: () => undefined, signal: AbortSignal.timeout(imageTimeoutMs) }).then((images) => images[name])
}

export type Part = 'member' | 'agent' | 'endpoint'

export function containersOf({ engine }: TestService, databaseId: string): Promise<ContainerListed[]> {
  return engine.listContainers({ [label.database]: databaseId }, AbortSignal.timeout(timeoutMs))
}

export async function containerOf(service: TestService, databaseId: string, part: Part): Promise<ContainerListed> {
  const found = (await containersOf(service, databaseId)).find(({ labels }) => labels[label.kind] === part)
  if (found === undefined) throw new Error(`database ${databaseId} has no ${part} container`)
  return found
}

/** The agent comes when the database is prepared, a moment after its first connection. */
export function untilRunning(service: TestService, databaseId: string, part: Part): Promise<ContainerListed> {
  return until(`the ${part} runs`, async () => {
    const found = (await containersOf(service, databaseId)).find(({ labels }) => labels[label.kind] === part)
    return found?.state === 'running' ? found : new NotYet(found?.state ?? 'no container')
  })
}

/** Names of all that carries the database's label. */
export async function everythingOf({ engine }: TestService, databaseId: string): Promise<readonly string[]> {
  const labels = { [label.database]: databaseId }
  const signal = AbortSignal.timeout(timeoutMs)
  const found = await Promise.all([engine.listContainers(labels, signal), engine.listVolumes(labels, signal), engine.listNetworks(labels, signal)])
  return found.flat().map(({ name }) => name)
}

const inspectionSchema = z.object({
  Image: z.string(),
  Config: z.object({ User: z.string(), Env: z.array(z.string()).nullable(), Cmd: z.array(z.string()).nullable(), Labels: z.record(z.string(), z.string()) }),
  HostConfig: z.object({
    Privileged: z.boolean(), ReadonlyRootfs: z.boolean(), CapAdd: z.array(z.string()).nullable(), CapDrop: z.array(z.string()).nullable(),
    SecurityOpt: z.array(z.string()).nullable(), PidsLimit: z.number().nullable(), Memory: z.number(), MemorySwap: z.number(),
    CpuQuota: z.number(), CpuPeriod: z.number(), NetworkMode: z.string(), PidMode: z.string(), IpcMode: z.string(),
    Binds: z.array(z.string()).nullable(), Devices: z.array(z.unknown()).nullable(), Tmpfs: z.record(z.string(), z.string()).nullish(),
    RestartPolicy: z.object({ Name: z.string() }), LogConfig: z.object({ Type: z.string(), Config: z.record(z.string(), z.string()) }),
  }),
  Mounts: z.array(z.object({ Type: z.string(), Destination: z.string() })),
})
export type Inspection = z.output<typeof inspectionSchema>

export async function inspect({ docker }: TestService, id: string): Promise<Inspection> {
  return inspectionSchema.parse(await docker.getContainer(id).inspect())
}
