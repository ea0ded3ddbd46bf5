/**
 * A blueprint as the engine's request. The security profile of every container we run is here and nowhere else:
 * no capability that its blueprint does not name, no new privilege, no writable root, bounded processes, memory, CPU and logs.
 */
import type { Blueprint, PublishedPort } from '../../domain/blueprint.ts'
import { label } from '../../domain/names.ts'
import { postgresId } from './archive.ts'

/** PostgreSQL's fast shutdown. The supervisor in the image hands it on. */
const stopSignal = 'SIGINT'
/** Seconds for the checkpoint at shutdown before the engine kills. */
const stopTimeoutSeconds = 60
/** The kernel's default period of its bandwidth control. */
const cpuPeriodMicros = 100_000
const logRotation = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } }
/** Sockets, pid files and the supervisor's links; nothing on them is ever executed. */
const tmpfsOptions = (mebibytes: number, user: number): string =>
  `rw,noexec,nosuid,nodev,mode=0700,size=${mebibytes}m,uid=${user},gid=${user}`

export function containerBody(blueprint: Blueprint): object {
  return {
    Image: blueprint.image,
    Cmd: blueprint.command,
    Labels: blueprint.labels,
    User: `${userOf(blueprint)}:${userOf(blueprint)}`,
    StopSignal: stopSignal,
    StopTimeout: stopTimeoutSeconds,
    HostConfig: { ...hostConfig(blueprint), ...networkMode(blueprint) },
    ...networking(blueprint),
  }
}

/** Whoever lives in another container's network namespace has that one's name, hosts file and ports: engines refuse any of its own. */
function networking(blueprint: Blueprint): object {
  const { network } = blueprint
  if ('container' in network) return {}
  return {
    // The engine's own host name would change with every container made anew.
    Hostname: blueprint.name.slice(0, 63),
    ExposedPorts: Object.fromEntries(blueprint.ports.map((port) => [`${port.containerPort}/tcp`, {}])),
    NetworkingConfig: { EndpointsConfig: { [network.name]: { Aliases: network.aliases } } },
  }
}

function networkMode({ network, extraHosts, ports }: Blueprint): object {
  if ('container' in network) return { NetworkMode: `container:${network.container}` }
  return { NetworkMode: network.name, ExtraHosts: extraHosts, PortBindings: portBindings(ports) }
}

/** A capability is worth something to root alone; and under no-new-privileges a command run later has none that PID 1 has not. */
function userOf({ capabilities = [] }: Blueprint): number {
  return capabilities.length === 0 ? postgresId : 0
}

function hostConfig(blueprint: Blueprint): object {
  const { limits } = blueprint
  const user = userOf(blueprint)
  // The engine makes a volume that is missing; with our labels on it, it is at least found and swept.
  const volumeLabels = { ...blueprint.labels, [label.kind]: 'volume' }
  return {
    Mounts: blueprint.mounts.map((mount) => ({
      Type: 'volume', Source: mount.volume, Target: mount.path, ReadOnly: mount.readOnly ?? false, VolumeOptions: { Labels: volumeLabels },
    })),
    Tmpfs: { '/run': tmpfsOptions(64, user), '/tmp': tmpfsOptions(256, user) },
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    CapAdd: blueprint.capabilities ?? [],
    SecurityOpt: ['no-new-privileges'],
    Privileged: false,
    // The supervisor is PID 1 and reaps; the engine's own init would only hide it.
    Init: false,
    PidsLimit: limits.pids,
    Memory: limits.memoryBytes,
    // Equal to Memory: no swap, as a database that swaps is worse than one that is restarted.
    MemorySwap: limits.memoryBytes,
    // As a quota and not as NanoCpus: an engine refuses more of those than its host has cores.
    CpuPeriod: cpuPeriodMicros,
    CpuQuota: Math.round(limits.cpus * cpuPeriodMicros),
    ShmSize: limits.shmBytes,
    RestartPolicy: { Name: blueprint.restart },
    LogConfig: logRotation,
  }
}

function portBindings(ports: readonly PublishedPort[]): Record<string, readonly { HostIp: string; HostPort: string }[]> {
  const byPort = Map.groupBy(ports, (port) => `${port.containerPort}/tcp`)
  return Object.fromEntries(
    [...byPort].map(([name, published]) => [name, published.map((port) => ({ HostIp: port.address, HostPort: String(port.hostPort) }))]),
  )
}
