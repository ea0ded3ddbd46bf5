/**
 * A host is a UUID in the label of a marker volume on its engine, never an address: addresses move, and the same engine
 * may be reached by two of them.
 */
import { randomUUID } from 'node:crypto'
import type { EngineClient } from '../clients/docker.ts'
import { HoldfastError } from '../domain/errors.ts'
import { label, resourceNames } from '../domain/names.ts'

/** Reads the marker, or makes it. Two that make it at once read the same one back. */
export async function ensureHostMarker(engine: EngineClient, installation: string, signal: AbortSignal): Promise<string> {
  const name = resourceNames(installation).marker
  if ((await engine.findVolume(name, signal)) === null) {
    const labels = { [label.installation]: installation, [label.kind]: 'marker', [label.host]: randomUUID() }
    await engine.createVolume({ name, labels }, signal).catch((error: unknown) => {
      // somebody else's marker has another UUID in its labels, which is a conflict only for who made it second
      if (!(error instanceof HoldfastError) || error.code !== 'ResourceConflict') throw error
    })
  }
  const id = (await engine.findVolume(name, signal))?.labels[label.host]
  if (id !== undefined) return id
  throw new HoldfastError('ResourceConflict', `The marker volume ${name} on ${engine.engine} carries no host id`, { next: 'Remove the volume if nothing of this installation is on that host' })
}
