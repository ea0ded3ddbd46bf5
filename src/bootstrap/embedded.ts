/**
 * What the embedded services are called and where they listen. They use the two highest internal ports, which are
 * kept out of the range that databases get theirs from.
 */
import type { Config } from '../config.ts'
import { internalName } from '../domain/names.ts'

export interface EmbeddedPlaces {
  readonly controlDatabase: { readonly container: string; readonly port: number; readonly serverName: string }
  readonly objectStore: { readonly container: string; readonly port: number; readonly serverName: string; readonly bucket: string }
}

export function embeddedPlaces({ installation, internalPortRange }: Config): EmbeddedPlaces {
  return {
    controlDatabase: { container: `${installation}-control`, port: internalPortRange.last, serverName: internalName.controlDatabase },
    objectStore: { container: `${installation}-objectstore`, port: internalPortRange.last - 1, serverName: internalName.objectStore, bucket: `${installation}-backups` },
  }
}

/** The internal ports that databases may get. */
export function databasePortRange({ internalPortRange }: Config): { readonly from: number; readonly to: number } {
  return { from: internalPortRange.first, to: internalPortRange.last - 2 }
}
