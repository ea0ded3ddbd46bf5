/**
 * What the embedded services are called and where they listen. They use the highest internal ports, which are kept out of
 * the range that databases get theirs from, whether the services are embedded or not: that may change.
 */
import type { Config } from '../config.ts'
import { internalName } from '../domain/names.ts'

export interface EmbeddedPlaces {
  readonly controlDatabase: { readonly container: string; readonly port: number; readonly serverName: string }
  readonly objectStore: { readonly container: string; readonly port: number; readonly serverName: string; readonly bucket: string }
  /** Three members, each with a port for clients and one for the others. */
  readonly etcd: readonly { readonly client: number; readonly peer: number }[]
}

/** The fewest that survive the loss of one. */
const etcdMembers = 3
const embeddedPorts = 2 + 2 * etcdMembers

export function embeddedPlaces({ installation, internalPortRange }: Config): EmbeddedPlaces {
  return {
    controlDatabase: { container: `${installation}-control`, port: internalPortRange.last, serverName: internalName.controlDatabase },
    objectStore: { container: `${installation}-objectstore`, port: internalPortRange.last - 1, serverName: internalName.objectStore, bucket: `${installation}-backups` },
    etcd: Array.from({ length: etcdMembers }, (_, at) => ({ client: internalPortRange.last - 2 - 2 * at, peer: internalPortRange.last - 3 - 2 * at })),
  }
}

/** The internal ports that databases may get. */
export function databasePortRange({ internalPortRange }: Config): { readonly from: number; readonly to: number } {
  return { from: internalPortRange.first, to: internalPortRange.last - embeddedPorts }
}
