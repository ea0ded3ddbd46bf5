/** Data volumes: file systems of a fixed size where storage limits are enforced, plain volumes where they are not. */
import type { EngineClient } from '../clients/docker.ts'
import type { Action } from '../domain/action.ts'
import type { Desired } from '../domain/desired.ts'
import { label } from '../domain/names.ts'
import type { ActionResult } from '../domain/ports.ts'
import type { Disks } from './disks.ts'

type ActionOf<Kind extends Action['kind']> = Extract<Action, { readonly kind: Kind }>

export interface VolumeTools {
  readonly engine: EngineClient
  readonly installation: string
  /** Null: sizes are not enforced on this host. */
  readonly disks: Disks | null
}

/** The same as the disks helper's own when it grows one: a second mount of a device must not ask for other options. */
const mountOptions = 'noatime,nosuid,nodev,noexec,discard'

export async function createDataVolume(tools: VolumeTools, action: ActionOf<'createDataVolume'>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const { engine, disks, installation } = tools
  const labels = {
    [label.installation]: installation,
    [label.kind]: 'volume',
    [label.project]: desired.project.id,
    [label.database]: action.databaseId,
    [label.instance]: action.instanceId,
    [label.member]: action.memberId,
  }
  if (disks === null) {
    await engine.createVolume({ name: action.name, labels }, signal)
    return sized(action.memberId, action.bytes)
  }
  const disk = await disks.create(action.name, action.bytes, signal)
  const options = { type: 'xfs', device: disk.device, o: mountOptions }
  await engine.createVolume({ name: action.name, labels, options }, signal)
  return sized(action.memberId, disk.sizeBytes)
}

export async function growDataVolume({ disks }: VolumeTools, action: ActionOf<'growDataVolume'>, signal: AbortSignal): Promise<ActionResult> {
  if (disks === null) return sized(action.memberId, action.bytes)
  const disk = await disks.grow(action.name, action.bytes, signal)
  return sized(action.memberId, disk.sizeBytes)
}

/**
 * The disk goes first: as long as the engine's volume is seen, the removal is asked for again, so a crash in between
 * leaves no image file behind. A disk that is mounted refuses.
 */
export async function removeVolume({ engine, disks }: VolumeTools, action: ActionOf<'removeVolume'>, signal: AbortSignal): Promise<ActionResult> {
  if (action.memberId !== null && disks !== null) await disks.remove(action.name, signal)
  await engine.removeVolume(action.name, signal)
  return action.memberId === null ? { records: [] } : sized(action.memberId, null)
}

function sized(memberId: string, bytes: number | null): ActionResult {
  return { records: [{ kind: 'volumeSized', memberId, bytes }] }
}
