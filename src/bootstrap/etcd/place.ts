/** Where a member of the embedded etcd lives and what it is called. */
import { isIP } from 'node:net'
import type { EngineClient } from '../../clients/docker.ts'
import type { EtcdEndpoint } from '../../clients/etcd.ts'
import { internalName } from '../../domain/names.ts'

export interface EtcdPlace {
  /** From 1; it stays what it is when the member is replaced. */
  readonly ordinal: number
  readonly hostId: string
  readonly engine: EngineClient
  /** The host's private one: clients, the other members and Patroni reach the published ports there. */
  readonly address: string
  readonly clientPort: number
  readonly peerPort: number
}

export function endpointOf({ ordinal, address, clientPort }: EtcdPlace): EtcdEndpoint {
  return { host: address, port: clientPort, serverName: internalName.etcd(ordinal) }
}

export function memberName({ ordinal }: EtcdPlace): string {
  return `etcd-${ordinal}`
}

export function clientUrl({ address, clientPort }: EtcdPlace): string {
  return urlOf(address, clientPort)
}

export function peerUrl({ address, peerPort }: EtcdPlace): string {
  return urlOf(address, peerPort)
}

function urlOf(address: string, port: number): string {
  return isIP(address) === 6 ? `https://[${address}]:${port}` : `https://${address}:${port}`
}
