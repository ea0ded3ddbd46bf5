/** One member's container: looked at, made, started, told what changed, made anew. Which of it when is decided elsewhere. */
import { createHash } from 'node:crypto'
import type { ContainerDetails } from '../../clients/docker.ts'
import type { RenderedFile } from '../../domain/blueprint.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { label } from '../../domain/names.ts'
import type { KeyMaterial } from '../../render/rendered.ts'
import { dataMissingCode, dataVolume, etcdBlueprint, etcdContainer, joiningFile, startFiles, type EtcdSettings, type Joining } from './blueprint.ts'
import type { EtcdPlace } from './place.ts'

export interface Member {
  readonly settings: EtcdSettings
  readonly place: EtcdPlace
  readonly certificate: KeyMaterial
}

/** Leaves leadership to another first, which takes a moment; then there is nothing left to write. */
const stopSeconds = 10

export type Look =
  /** Neither its container nor its data are there. */
  | 'absent'
  /** Its volume is empty, and it refuses to start on it. */
  | 'lost'
  | 'stopped'
  /** It runs with other flags, trust or image than it should. */
  | 'outdated'
  | 'running'

export async function lookAt({ settings, place, certificate }: Member, signal: AbortSignal): Promise<Look> {
  const { engine } = place
  const blueprint = etcdBlueprint(settings, place, certificate)
  const seen = await engine.findContainer(blueprint.name, signal)
  if (seen === null) return (await engine.findVolume(dataVolume(settings.installation, place.ordinal), signal)) === null ? 'absent' : 'stopped'
  if (refusedItsVolume(seen)) return 'lost'
  if (seen.state !== 'running') return 'stopped'
  if (seen.labels[label.spec] !== blueprint.specHash) return 'outdated'
  const changed = await changedFiles(engine, seen.id, blueprint.files, signal).catch(endedMeanwhile)
  if (changed === null) return 'stopped'
  return changed.some(({ path }) => startFiles.has(path)) ? 'outdated' : 'running'
}

/** The engine runs nothing in a container that has just ended. */
function endedMeanwhile(error: unknown): null {
  if (error instanceof HoldfastError && error.code === 'Conflict') return null
  throw error
}

export async function hasLostData({ settings, place }: Member, signal: AbortSignal): Promise<boolean> {
  const seen = await place.engine.findContainer(etcdContainer(settings.installation, place.ordinal), signal)
  return seen !== null && refusedItsVolume(seen)
}

/** The engine starts it again and again, so it is seen between two tries as well. */
function refusedItsVolume({ state, exitCode }: ContainerDetails): boolean {
  return (state === 'exited' || state === 'restarting') && exitCode === dataMissingCode
}

/** There is a container as it should be, and it runs. `joining` is for a volume that is empty. */
export async function bringUp({ settings, place, certificate }: Member, joining: Joining | null, signal: AbortSignal): Promise<void> {
  const { engine } = place
  const blueprint = etcdBlueprint(settings, place, certificate)
  const files = [...blueprint.files, joiningFile(settings.installation, joining)]
  const seen = await engine.findContainer(blueprint.name, signal)
  if (seen !== null && seen.labels[label.spec] === blueprint.specHash) {
    await engine.putFiles(seen.id, blueprint.mounts, files, signal)
    if (seen.state !== 'running') await engine.startContainer(seen.id, signal)
    return
  }
  if (seen !== null) await remove({ settings, place, certificate }, signal)
  const labels = { ...blueprint.labels, [label.kind]: 'volume' }
  await Promise.all(blueprint.mounts.map(({ volume }) => engine.createVolume({ name: volume, labels }, signal)))
  const { id } = await engine.createContainer(blueprint, signal)
  await engine.putFiles(id, blueprint.mounts, files, signal)
  await engine.startContainer(id, signal)
}

/** Stopped before it is told, so that one that runs has always read what its volume says. */
export async function restart(member: Member, signal: AbortSignal): Promise<void> {
  const { settings, place, certificate } = member
  const seen = await place.engine.findContainer(etcdBlueprint(settings, place, certificate).name, signal)
  if (seen !== null) await place.engine.stopContainer(seen.id, stopSeconds, signal)
  await bringUp(member, null, signal)
}

/** A certificate, or that it has joined: read at the next handshake, or at the next start. */
export async function tell({ settings, place, certificate }: Member, joining: Joining | null, signal: AbortSignal): Promise<void> {
  const blueprint = etcdBlueprint(settings, place, certificate)
  const files = [...blueprint.files.filter(({ path }) => !startFiles.has(path)), joiningFile(settings.installation, joining)]
  const { id } = await place.engine.inspectContainer(blueprint.name, signal)
  const changed = await changedFiles(place.engine, id, files, signal)
  if (changed.length > 0) await place.engine.putFiles(id, blueprint.mounts, changed, signal)
}

export async function remove({ settings, place, certificate }: Member, signal: AbortSignal): Promise<void> {
  const seen = await place.engine.findContainer(etcdBlueprint(settings, place, certificate).name, signal)
  if (seen === null) return
  await place.engine.stopContainer(seen.id, stopSeconds, signal)
  await place.engine.removeContainer(seen.id, { force: true }, signal)
}

async function changedFiles(engine: EtcdPlace['engine'], id: string, files: readonly RenderedFile[], signal: AbortSignal): Promise<readonly RenderedFile[]> {
  const { stdout } = await engine.exec(id, ['sha256sum', '--', ...files.map(({ path }) => path)], {}, signal)
  const present = new Set(stdout.split('\n'))
  return files.filter(({ path, content }) => !present.has(`${createHash('sha256').update(content).digest('hex')}  ${path}`))
}
