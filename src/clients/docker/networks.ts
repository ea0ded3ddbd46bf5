/** Networks of one engine. */
import { HoldfastError } from '../../domain/errors.ts'
import { assertOurs, labelFilter } from './containers.ts'
import { idSchema, networkListSchema, networkSchema, type NetworkDetails } from './replies.ts'
import { refusalOf, type Transport } from './transport.ts'

export interface NetworkRequest {
  readonly name: string
  /** CIDR. */
  readonly subnet: string
  readonly labels: Readonly<Record<string, string>>
}

export interface NetworkClient {
  listNetworks(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<NetworkDetails[]>
  findNetwork(name: string, signal: AbortSignal): Promise<NetworkDetails | null>
  /** Errors: `ResourceConflict` when the name or the addresses belong to somebody else. */
  createNetwork(request: NetworkRequest, signal: AbortSignal): Promise<void>
  /** Errors: `Conflict` while containers are in it. */
  removeNetwork(name: string, signal: AbortSignal): Promise<void>
}

export function networkClient(transport: Transport, extraLabels: Readonly<Record<string, string>>): NetworkClient {
  const at = (name: string): string => `/networks/${encodeURIComponent(name)}`

  const findNetwork: NetworkClient['findNetwork'] = async (name, signal) => {
    try {
      return await transport.json({ method: 'GET', path: at(name) }, networkSchema, signal)
    } catch (error) {
      if (refusalOf(error)?.status === 404) return null
      throw error
    }
  }

  return {
    findNetwork,

    listNetworks: (labels, signal) =>
      transport.json({ method: 'GET', path: '/networks', query: { filters: labelFilter(labels) } }, networkListSchema, signal),

    createNetwork: async ({ name, subnet, labels }, signal) => {
      const wanted = { ...labels, ...extraLabels }
      // CheckDuplicate: engines before API 1.44 otherwise allow two networks of one name.
      const body = { Name: name, CheckDuplicate: true, Driver: 'bridge', IPAM: { Driver: 'default', Config: [{ Subnet: subnet }] }, Labels: wanted }
      try {
        await transport.json({ method: 'POST', path: '/networks/create', body }, idSchema, signal)
        return
      } catch (error) {
        const status = refusalOf(error)?.status
        const found = status === undefined ? null : await findNetwork(name, signal)
        // 403 is the engine's answer to addresses that overlap with another network's.
        if (found === null && status === 403) throw overlaps(name, subnet, error)
        if (found === null) throw error
        assertOurs('network', name, wanted, found.labels)
        if (!found.subnets.includes(subnet)) throw overlaps(name, subnet, error)
      }
    },

    removeNetwork: async (name, signal) => {
      const refusal = await transport.send({ method: 'DELETE', path: at(name) }, signal, [403, 404, 409])
      if (refusal === null || refusal.status === 404) return
      throw new HoldfastError('Conflict', `The network ${name} is in use`, { facts: { name, reason: refusal.reason } })
    },
  }
}

function overlaps(name: string, subnet: string, cause: unknown): HoldfastError {
  return new HoldfastError('ResourceConflict', `The network ${name} cannot have the addresses ${subnet}: another network of the host uses them`, {
    next: 'Remove the other network, or choose another range of addresses for projects',
    facts: { name, subnet },
    cause,
  })
}
