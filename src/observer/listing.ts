/** Everything of our installation that one engine holds, as its lists show it. */
import type { ContainerListed, EngineClient } from '../clients/docker.ts'
import { label } from '../domain/names.ts'
import type { ContainerSeen } from '../domain/observed.ts'
import { exitCodeOf, ownLabels } from './events.ts'
import type { Listing } from './facts.ts'

export type ListedEngine = Pick<EngineClient, 'listContainers' | 'listVolumes' | 'listNetworks'>

export async function listEngine(engine: ListedEngine, installation: string, now: Date, signal: AbortSignal): Promise<Listing> {
  const labels = { [label.installation]: installation }
  const [containers, volumes, networks] = await Promise.all([
    engine.listContainers(labels, signal), engine.listVolumes(labels, signal), engine.listNetworks(labels, signal),
  ])
  return {
    containers: containers.map((listed) => listedContainer(listed, now)),
    volumes: volumes.map(({ name, labels: all }) => ({ name, labels: ownLabels(all) })),
    networks: networks.map(({ id, name, labels: all }) => ({ id, name, labels: ownLabels(all) })),
  }
}

/** A container as a list shows it. `since` is when we first saw it so: a list does not tell. */
function listedContainer(listed: ContainerListed, now: Date): ContainerSeen {
  return {
    id: listed.id,
    name: listed.name,
    state: listed.state,
    labels: ownLabels(listed.labels),
    since: listed.state === 'created' ? listed.createdAt : now,
    exitCode: exitCodeOf(/^(?:Exited|Restarting) \((\d+)\)/.exec(listed.status)?.[1]),
  }
}
