/**
 * One Docker engine, local or remote: typed in, parsed out, a deadline and an abort signal on every call.
 * It decides nothing: what to create, keep or remove is its caller's business. It never touches what carries no label of ours.
 */
import { containerClient, type ContainerClient } from './docker/containers.ts'
import { followEvents, type EngineEvent, type EventFilter } from './docker/events.ts'
import { networkClient, type NetworkClient } from './docker/networks.ts'
import { versionSchema } from './docker/replies.ts'
import { openTransport, type EngineConnection } from './docker/transport.ts'
import { volumeClient, type VolumeClient } from './docker/volumes.ts'

export type { ContainerClient, ExecResult } from './docker/containers.ts'
export type { EngineEvent, EventFilter } from './docker/events.ts'
export type { NetworkRequest } from './docker/networks.ts'
export type { ContainerDetails, ContainerListed, NetworkDetails, VolumeDetails } from './docker/replies.ts'
export { dockerOptions, type EngineConnection } from './docker/transport.ts'
export type { VolumeRequest } from './docker/volumes.ts'

export interface EngineClient extends ContainerClient, VolumeClient, NetworkClient {
  /** Its address, for messages. */
  readonly engine: string
  version(signal: AbortSignal): Promise<{ readonly version: string; readonly apiVersion: string }>
  /**
   * Follows the engine's events. Resolves when the connection is lost, rejects with the abort reason when aborted,
   * with `EngineUnreachable` when it cannot begin. The caller connects again and lists anew.
   */
  events(filter: EventFilter, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void>
}

export interface EngineOptions extends EngineConnection {
  /** Put on everything that is created, over its own labels: a test's run id. */
  readonly labels?: Readonly<Record<string, string>>
}

const versionTimeoutMs = 5_000

/** Opens nothing yet; each call connects as it needs. */
export function connectEngine(options: EngineOptions): EngineClient {
  const transport = openTransport(options)
  const labels = options.labels ?? {}
  return {
    engine: options.engine,
    ...containerClient(transport, labels),
    ...volumeClient(transport, labels),
    ...networkClient(transport, labels),
    version: (signal) => transport.json({ method: 'GET', path: '/version', timeoutMs: versionTimeoutMs }, versionSchema, signal),
    events: (filter, onEvent, signal) => followEvents(transport, filter, onEvent, signal),
  }
}
