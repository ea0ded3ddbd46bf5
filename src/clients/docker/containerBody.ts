/**
 * A blueprint as the engine's request. The security profile of every container we run is here and nowhere else:
 * no capability, no new privilege, no writable root, bounded processes, memory, CPU and logs.
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
const tmpfsOptions = (mebibytes: number): string =>
  `rw,noexec,nosuid,nodev,mode=0700,size=${mebibytes}m,uid=${postgresId},gid=${postgresId}`

export function containerBody(blueprint: Blueprint): object {
  return {
    Image: blueprint.image,
    Cmd: blueprint.command,
    Labels: blueprint.labels,
    User: `${postgresId}:${postgresId}`,
    // The engine's own host name would change with every container made anew.
    Hostname: blueprint.name.slice(0, 63),
    StopSignal: stopSignal,
    StopTimeout: stopTimeoutSeconds,
    ExposedPorts: Object.fromEntries(blueprint.ports.map((port) => [`${port.containerPort}/tcp`, {}])),
    HostConfig: hostConfig(blueprint),
    NetworkingConfig: { EndpointsConfig: { [blueprint.network.name]: { Aliases: blueprint.network.aliases } } },
  }
}

function hostConfig(blueprint: Blueprint): object {
  const { limits } = blueprint
  // The engine makes a volume that is missing; with our labels on it, it is at least found and swept.
  const volumeLabels = { ...blueprint.labels, [label.kind]: 'volume' }
  return {
    NetworkMode: blueprint.network.name,
    Mounts: blueprint.mounts.map((mount) => ({
      Type: 'volume', Source: mount.volume, Target: mount.path, ReadOnly: mount.readOnly ?? false, VolumeOptions: { Labels: volumeLabels },
    })),
    Tmpfs: { '/run': tmpfsOptions(64), '/tmp': tmpfsOptions(256) },
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
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
    ExtraHosts: blueprint.extraHosts,
    PortBindings: portBindings(blueprint.ports),
  }
}

function portBindings(ports: readonly PublishedPort[]): Record<string, readonly { HostIp: string; HostPort: string }[]> {
  const byPort = Map.groupBy(ports, (port) => `${port.containerPort}/tcp`)
  return Object.fromEntries(
    [...byPort].map(([name, published]) => [name, published.map((port) => ({ HostIp: port.address, HostPort: String(port.hostPort) }))]),
  )
}
