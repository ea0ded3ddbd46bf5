/**
 * Blueprints: how a container has to look, as data. Rendering makes them from what is desired, the planner compares
 * their hashes with what was seen, the executor builds from them.
 */
export interface RenderedFile {
  /** Absolute, below a mounted volume. */
  readonly path: string
  readonly content: string
  readonly mode: number
  /** Holds a secret: never logged. */
  readonly secret: boolean
}

export interface MountedVolume {
  readonly volume: string
  readonly path: string
  readonly readOnly?: boolean
}

export interface PublishedPort {
  readonly containerPort: number
  readonly address: string
  readonly hostPort: number
}

export interface Blueprint {
  readonly name: string
  readonly hostId: string
  readonly image: string
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly mounts: readonly MountedVolume[]
  /** The one network it joins, with its aliases there; or the container whose network namespace it lives in (then it publishes nothing itself). */
  readonly network: { readonly name: string; readonly aliases: readonly string[] } | { readonly container: string }
  /** Linux capabilities beside none at all. */
  readonly capabilities?: readonly string[]
  readonly ports: readonly PublishedPort[]
  readonly extraHosts: readonly string[]
  readonly limits: { readonly memoryBytes: number; readonly cpus: number; readonly pids: number; readonly shmBytes: number }
  /** Not `unless-stopped`: any signal through the engine, a reload too, counts as a stop there, and the next start of the engine leaves the container down. */
  readonly restart: 'always' | 'no'
  readonly files: readonly RenderedFile[]
  /** What the container was created from; another hash means that it has to be made anew. */
  readonly specHash: string
  /** What the files say; another hash means that they are installed and reloaded. */
  readonly configHash: string
}

/** Everything a database consists of on engines, as it should be now. */
export interface Blueprints {
  /** By member id. */
  readonly members: ReadonlyMap<string, Blueprint>
  /** By member id, of clusters: what owns the member's network namespace and published ports. */
  readonly pods: ReadonlyMap<string, Blueprint>
  /** By instance id, of clusters: the dynamic configuration as it should be, as Patroni writes it to `/config`. */
  readonly configurations: ReadonlyMap<string, Readonly<Record<string, unknown>>>
  /** By instance id. */
  readonly agents: ReadonlyMap<string, Blueprint>
  /** By `<endpointId>/<slot>`. */
  readonly proxies: ReadonlyMap<string, Blueprint>
}
