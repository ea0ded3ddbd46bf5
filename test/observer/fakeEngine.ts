/** An engine in memory, behind our own port: what it holds, what it tells, and when it breaks is up to the test. */
import type { ContainerListed, EngineEvent, EventFilter, VolumeDetails, NetworkDetails } from '../../src/clients/docker.ts'
import { label } from '../../src/domain/names.ts'
import type { ContainerState } from '../../src/domain/observed.ts'
import type { ObservedEngine } from '../../src/observer/observer.ts'

export const installation = 'hfF'

export interface Calls {
  containers: number
  volumes: number
  networks: number
  find: number
  logs: number
  streams: number
}

export class FakeEngine implements ObservedEngine {
  readonly engine = 'fake://engine'
  readonly calls: Calls = { containers: 0, volumes: 0, networks: 0, find: 0, logs: 0, streams: 0 }
  readonly containers = new Map<string, ContainerListed>()
  readonly volumes = new Map<string, VolumeDetails>()
  readonly networks = new Map<string, NetworkDetails>()
  readonly output = new Map<string, string>()
  /** Set: calls fail with it. */
  broken: Error | null = null
  /** Set: heartbeats hang until they are given up. */
  frozen = false
  /** Awaited before a list is answered. */
  beforeList: () => Promise<void> = async () => {}
  #stream: { readonly onEvent: (event: EngineEvent) => void; readonly end: () => void } | null = null

  async events(filter: EventFilter, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
    this.calls.streams += 1
    if (this.broken !== null) throw this.broken
    const ended = Promise.withResolvers<undefined>()
    this.#stream = { onEvent, end: () => ended.resolve(undefined) }
    signal.addEventListener('abort', () => ended.resolve(undefined), { once: true })
    filter.onOpen?.()
    await ended.promise
    this.#stream = null
    signal.throwIfAborted()
  }

  breakStream(): void {
    this.#stream?.end()
  }

  async listContainers(): Promise<ContainerListed[]> {
    this.calls.containers += 1
    const listed = [...this.containers.values()]
    await this.beforeList()
    if (this.broken !== null) throw this.broken
    return listed
  }

  async listVolumes(): Promise<VolumeDetails[]> {
    this.calls.volumes += 1
    return [...this.volumes.values()]
  }

  async listNetworks(): Promise<NetworkDetails[]> {
    this.calls.networks += 1
    return [...this.networks.values()]
  }

  async findVolume(name: string, signal: AbortSignal): Promise<VolumeDetails | null> {
    this.calls.find += 1
    if (this.frozen) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return this.volumes.get(name) ?? null
  }

  async findNetwork(id: string): Promise<NetworkDetails | null> {
    this.calls.find += 1
    return this.networks.get(id) ?? null
  }

  async logs(containerId: string): Promise<string> {
    this.calls.logs += 1
    return this.output.get(containerId) ?? ''
  }

  /** Changes a container and tells of it, as the engine does. */
  put(id: string, name: string, state: ContainerState, labels: Readonly<Record<string, string>>, action: string, exitCode?: number): void {
    const all = { [label.installation]: installation, ...labels }
    const status = state === 'exited' ? `Exited (${exitCode ?? 0}) 1 second ago` : 'Up 1 second'
    this.containers.set(id, { id, name, state, labels: all, image: 'i', createdAt: new Date(0), status, ports: [] })
    this.tell('container', action, id, name, { ...all, image: 'i', name, ...(exitCode === undefined ? {} : { exitCode: String(exitCode) }) })
  }

  remove(id: string): void {
    const gone = this.containers.get(id)
    this.containers.delete(id)
    if (gone !== undefined) this.tell('container', 'destroy', id, gone.name, gone.labels)
  }

  tell(type: EngineEvent['type'], action: string, id: string, name: string, attributes: Readonly<Record<string, string>> = {}): void {
    this.#stream?.onEvent({ type, action, id, name, attributes, timeNano: Date.now() * 1e6 })
  }
}
