/** Volumes of one engine. */
import { HoldfastError } from '../../domain/errors.ts'
import { assertOurs, labelFilter } from './containers.ts'
import { volumeListSchema, volumeSchema, type VolumeDetails } from './replies.ts'
import { refusalOf, type Transport } from './transport.ts'

export interface VolumeRequest {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Of the engine's local driver: `type`, `device`, `o`. */
  readonly options?: Readonly<Record<string, string>>
}

export interface VolumeClient {
  listVolumes(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<VolumeDetails[]>
  findVolume(name: string, signal: AbortSignal): Promise<VolumeDetails | null>
  /** Errors: `ResourceConflict` when the name belongs to somebody else, or holds another device. */
  createVolume(request: VolumeRequest, signal: AbortSignal): Promise<void>
  /** Errors: `Conflict` while a container uses it. */
  removeVolume(name: string, signal: AbortSignal): Promise<void>
}

export function volumeClient(transport: Transport, extraLabels: Readonly<Record<string, string>>): VolumeClient {
  const at = (name: string): string => `/volumes/${encodeURIComponent(name)}`
  return {
    listVolumes: (labels, signal) =>
      transport.json({ method: 'GET', path: '/volumes', query: { filters: labelFilter(labels) } }, volumeListSchema, signal),

    findVolume: async (name, signal) => {
      try {
        return await transport.json({ method: 'GET', path: at(name) }, volumeSchema, signal)
      } catch (error) {
        if (refusalOf(error)?.status === 404) return null
        throw error
      }
    },

    createVolume: async ({ name, labels, options = {} }, signal) => {
      const wanted = { ...labels, ...extraLabels }
      const body = { Name: name, Driver: 'local', DriverOpts: options, Labels: wanted }
      // The engine answers with the volume that exists, whatever its labels and options are.
      const found = await transport.json({ method: 'POST', path: '/volumes/create', body }, volumeSchema, signal)
      assertOurs('volume', name, wanted, found.labels)
      if (found.options['device'] === options['device']) return
      throw new HoldfastError('ResourceConflict', `The volume ${name} exists on another device than it should: ${found.options['device'] ?? 'none'}`, {
        facts: { name, device: found.options['device'] ?? null },
      })
    },

    removeVolume: async (name, signal) => {
      const refusal = await transport.send({ method: 'DELETE', path: at(name) }, signal, [404, 409])
      if (refusal?.status !== 409) return
      throw new HoldfastError('Conflict', `The volume ${name} is in use`, { facts: { name, reason: refusal.reason } })
    },
  }
}
