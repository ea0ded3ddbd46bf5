/**
 * Removes what an installation made on an engine, found by its label and nothing else. Order: containers, data volumes
 * with their disks, networks, the helpers, the other volumes.
 */
import type { EngineClient } from '../clients/docker.ts'
import { label } from '../domain/names.ts'
import { removeDisks } from './disks.ts'

export interface TakeDownOptions {
  readonly engine: EngineClient
  readonly installation: string
  /** Volumes stay, and with them every database: the next start finds them again. */
  readonly keepData: boolean
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

export interface TakenDown {
  readonly containers: number
  readonly networks: number
  readonly volumes: number
}

/** Seconds for PostgreSQL's fast shutdown; a database that is kept should not have to recover. */
const stopSeconds = 30

export async function takeDown(options: TakeDownOptions): Promise<TakenDown> {
  const { engine, installation, keepData, say, signal } = options
  const ours = { [label.installation]: installation }
  const containers = await engine.listContainers(ours, signal)
  const helpers = containers.filter((container) => container.labels[label.kind] === 'disks')
  const others = containers.filter((container) => !helpers.includes(container))
  say(`${containers.length} containers`)
  await Promise.all(others.map((container) => removeContainer(options, container)))
  const volumes = keepData ? [] : await engine.listVolumes(ours, signal)
  say(`${volumes.length} volumes`)
  // the volumes first: their disks are busy while they are mounted
  await Promise.all(volumes.filter(isData).map((volume) => engine.removeVolume(volume.name, signal)))
  if (!keepData) await removeDisks(engine, installation, signal)
  const networks = await engine.listNetworks(ours, signal)
  for (const network of networks) await engine.removeNetwork(network.name, signal)
  await Promise.all(helpers.map((helper) => engine.removeContainer(helper.id, { force: true }, signal)))
  for (const volume of volumes.filter((one) => !isData(one))) await engine.removeVolume(volume.name, signal)
  return { containers: containers.length, networks: networks.length, volumes: volumes.length }
}

function isData(volume: { readonly labels: Readonly<Record<string, string>> }): boolean {
  return volume.labels[label.member] !== undefined && volume.labels[label.kind] === 'volume'
}

async function removeContainer({ engine, keepData, signal }: TakeDownOptions, container: { readonly id: string; readonly labels: Readonly<Record<string, string>> }): Promise<void> {
  const kind = container.labels[label.kind]
  const holdsData = kind === 'member' || kind === 'controlDatabase' || kind === 'objectStore' || kind === 'etcd'
  if (keepData && holdsData) await engine.stopContainer(container.id, stopSeconds, signal)
  await engine.removeContainer(container.id, { force: true }, signal)
}
