/**
 * Containers: created, given their files, started, and only then running; a half-made one never runs.
 * A container that has run once is never remade here: stopping what serves is the planner's decision.
 */
import type { EngineClient, VolumeRequest } from '../clients/docker.ts'
import type { Blueprint } from '../domain/blueprint.ts'
import { HoldfastError, isHoldfastError } from '../domain/errors.ts'
import { label, resourceNames, type ResourceKind } from '../domain/names.ts'

/** Where data live, in every image: that volume is made by its own action and never on the way. */
export const dataPath = '/data'

/** How long a call waits for a container to end. The engine goes on by itself; the next observation sees it. */
const stopWaitMs = 10_000

export async function createContainer(engine: EngineClient, blueprint: Blueprint, signal: AbortSignal): Promise<void> {
  await requireNetwork(engine, blueprint, signal)
  await Promise.all(blueprint.mounts.map((mount) =>
    mount.path === dataPath ? requireDataVolume(engine, mount.volume, signal) : engine.createVolume(volumeFor(blueprint, mount.volume), signal)))
  const id = await createOnly(engine, blueprint, signal)
  if (id === null) return
  await engine.putFiles(id, blueprint.mounts, blueprint.files, signal)
  await startOrRemove(engine, id, signal)
}

/** One that its engine will never start is removed, and made anew when it is seen gone: all that it needs lies in volumes. */
export async function startOrRemove(engine: Pick<EngineClient, 'startContainer' | 'removeContainer'>, containerId: string, signal: AbortSignal): Promise<void> {
  try {
    await engine.startContainer(containerId, signal)
  } catch (error) {
    if (!isHoldfastError(error) || error.facts['cannotEverStart'] !== true) throw error
    await engine.removeContainer(containerId, { force: false }, signal)
  }
}

/**
 * A member whose pod was made anew can never be started again: a container keeps the network that it was made for. It is
 * removed instead, and made anew by the next pass. The pod is looked at only after a refusal: an engine that is still
 * taking down a container lets nobody inspect it for a fifth of a second.
 */
export async function startContainer(engine: EngineClient, containerId: string, installation: string, signal: AbortSignal): Promise<void> {
  try {
    await startOrRemove(engine, containerId, signal)
  } catch (error) {
    if (!await outlivedItsPod(engine, containerId, installation, signal)) throw error
    await engine.removeContainer(containerId, { force: false }, signal)
  }
}

async function outlivedItsPod(engine: EngineClient, containerId: string, installation: string, signal: AbortSignal): Promise<boolean> {
  const seen = await engine.inspectContainer(containerId, signal)
  const memberId = seen.labels[label.member]
  if (memberId === undefined || seen.labels[label.kind] !== memberKind) return false
  const pod = await engine.findContainer(resourceNames(installation).pod(memberId), signal)
  return pod !== null && pod.createdAt > seen.createdAt
}

const memberKind: ResourceKind = 'member'

/** Whoever lives in another one's network can only be started while that one runs. */
async function requireNetwork(engine: EngineClient, { name, network }: Blueprint, signal: AbortSignal): Promise<void> {
  if (!('container' in network)) return
  const owner = await engine.findContainer(network.container, signal)
  if (owner?.state === 'running') return
  throw new HoldfastError('Conflict', `The container ${name} cannot be made: ${network.container}, whose network it lives in, does not run`)
}

/** The id of a container that waits for its files, or null when it has been started before. */
async function createOnly(engine: EngineClient, blueprint: Blueprint, signal: AbortSignal): Promise<string | null> {
  const made = await engine.createContainer(blueprint, signal).catch((error: unknown) => {
    throw isHoldfastError(error) && error.code === 'NotFound' ? imageMissing(engine, blueprint, error) : error
  })
  if (!made.existed) return made.id
  const seen = await engine.inspectContainer(made.id, signal)
  if (seen.state !== 'created') return null
  assertNotOlder(blueprint, seen.labels)
  if (seen.labels[label.spec] === blueprint.specHash) return seen.id
  await engine.removeContainer(seen.id, { force: false }, signal)
  return (await engine.createContainer(blueprint, signal)).id
}

/** A controller that was late must not undo what another one made for a newer generation. */
function assertNotOlder(blueprint: Blueprint, found: Readonly<Record<string, string>>): void {
  const ours = Number(blueprint.labels[label.generation] ?? 0)
  const theirs = Number(found[label.generation] ?? 0)
  if (ours >= theirs) return
  throw new HoldfastError('LeaseLost', `The container ${blueprint.name} was made for generation ${theirs}, newer than ${ours}`)
}

function imageMissing(engine: EngineClient, { image, name }: Blueprint, cause: unknown): HoldfastError {
  return new HoldfastError('Internal', `The container ${name} cannot be made: the image ${image} is not on the engine ${engine.engine}`, {
    next: 'Start the service again: it builds the images that are missing', cause, facts: { image },
  })
}

async function requireDataVolume(engine: EngineClient, name: string, signal: AbortSignal): Promise<void> {
  if ((await engine.findVolume(name, signal)) !== null) return
  throw new HoldfastError('DataMissing', `The data volume ${name} is not there; no container is made on an empty one`, {
    next: 'Put the volume back, or restore the database from its latest backup', facts: { volume: name },
  })
}

/** Carries what the container belongs to, and nothing of its version. */
function volumeFor(blueprint: Blueprint, name: string): VolumeRequest {
  const { [label.spec]: _spec, [label.generation]: _generation, [label.job]: _job, ...owner } = blueprint.labels
  return { name, labels: { ...owner, [label.kind]: 'volume' } }
}

export async function stopContainer(engine: EngineClient, containerId: string, timeoutSeconds: number, signal: AbortSignal): Promise<void> {
  await engine.stopContainer(containerId, timeoutSeconds, signal, stopWaitMs)
}

/** Members are removed when they have ended, and only then; nothing else loses anything by a kill. */
export async function removeContainer(engine: EngineClient, containerId: string, installation: string, signal: AbortSignal): Promise<void> {
  const seen = await engine.findContainer(containerId, signal)
  if (seen === null) return
  if (seen.labels[label.installation] !== installation) {
    throw new HoldfastError('ResourceConflict', `The container ${seen.name} does not belong to this installation; it is left alone`)
  }
  await engine.removeContainer(containerId, { force: seen.labels[label.kind] !== 'member' }, signal)
}

/** A container that does not run reads the files when it starts. */
export async function installFiles(engine: EngineClient, blueprint: Blueprint, containerId: string, signal: AbortSignal): Promise<void> {
  await engine.putFiles(containerId, blueprint.mounts, blueprint.files, signal)
  await engine.killContainer(containerId, 'SIGHUP', signal)
}
