/**
 * The images that an engine needs, built on it from templates/images through its API, so that a remote engine works the same.
 * An image's tag is the hash of all that goes into it: what is there under that tag is never built again.
 */
import type Docker from 'dockerode'
import pRetry from 'p-retry'
import { ensureBaseImage } from './baseImage.ts'
import { buildImage } from './imageBuild.ts'
import { imageId } from './imageLookup.ts'
import { readImageInputs, revisionOf, type ImageInputs } from './imageInputs.ts'
import type { Report } from './progress.ts'

export const imageNames = ['postgres', 'haproxy', 'etcd', 'objectstore', 'disks'] as const
export type ImageName = (typeof imageNames)[number]

export interface EnsureImagesOptions<Name extends ImageName> {
  readonly docker: Docker
  readonly names: readonly Name[]
  readonly report: Report
  readonly signal: AbortSignal
}

export const imageLabel = 'io.holdfast.image'

/** Builds are bound by one mirror and one disk: more at a time only makes each slower. */
const parallelBuilds = 2
/** Mirrors fail now and then. Steps that succeeded are cached by the engine, so a retry costs the failed step only. */
const buildRetries = 2

/** Name → reference to run it by. Errors: `ImageBuildFailed`. */
export async function ensureImages<Name extends ImageName>(options: EnsureImagesOptions<Name>): Promise<Record<Name, string>> {
  const { docker, report, signal } = options
  const baseId = await ensureBaseImage({ docker, report, signal })
  const wanted = await Promise.all(
    options.names.map(async (name) => {
      const inputs = await readImageInputs(name)
      const reference = `holdfast/${name}:${revisionOf(inputs, baseId)}`
      return { name, inputs, reference, present: (await imageId(docker, reference)) !== null }
    }),
  )
  const missing = wanted.filter(({ present }) => !present)
  await inParallel(missing, parallelBuilds, ({ name, inputs, reference }) => build(options, name, inputs, reference))
  const references = Object.fromEntries(wanted.map(({ name, reference }) => [name, reference]))
  if (!namesAll(references, options.names)) throw new RangeError('an image that was asked for was not made')
  return references
}

function namesAll<Name extends string>(references: Record<string, string>, names: readonly Name[]): references is Record<Name, string> {
  return names.every((name) => references[name] !== undefined)
}

async function build(options: Omit<EnsureImagesOptions<ImageName>, 'names'>, name: ImageName, inputs: ImageInputs, reference: string): Promise<void> {
  const { docker, report, signal } = options
  const tell = (detail: string): void => report({ step: 'images', detail: `${name}: ${detail}` })
  await pRetry(() => buildImage({ docker, inputs, reference, labels: { [imageLabel]: name }, tell, signal }), {
    retries: buildRetries,
    signal,
    onFailedAttempt: ({ attemptNumber, retriesLeft }) => {
      if (retriesLeft > 0) tell(`try ${attemptNumber} failed, trying again`)
    },
  })
  tell('built')
}

/** Begins nothing new after a failure; fails with the first one when those under way have ended. */
export async function inParallel<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && failures.length === 0; item = queue.shift()) {
      await work(item).catch((error: unknown) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: limit }, worker))
  if (failures.length > 0) throw failures[0]
}
