/** The container of a standalone's member: PostgreSQL on its data volume. */
import type { Blueprint } from '../domain/blueprint.ts'
import { certificateKey, hostOf, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { label, resourceNames } from '../domain/names.ts'
import { tiers } from '../domain/tiers.ts'
import { renderMember } from './member.ts'
import { copyFiles } from './serverCopy.ts'
import { blueprintOf } from './spec.ts'

const mib = 1024 * 1024
/** The supervisor, the server's own processes, WAL senders, workers, and `pgbackrest` while a backup reads. */
const processesBesideConnections = 128

export interface MemberSettings {
  readonly installation: string
  /** How fast data are copied from another member, at most. Left out: as fast as disks and network are. */
  readonly copyRateMib?: number | undefined
}

/** Null until the member's certificate exists. */
export function memberBlueprint({ installation, copyRateMib }: MemberSettings, desired: Desired, instance: Instance, member: Member): Blueprint | null {
  const server = desired.certificates.get(certificateKey('member', member.id))
  if (server === undefined) return null
  const names = resourceNames(installation)
  const host = hostOf(desired, member.hostId)
  const tier = tiers[desired.database.tier]
  const config = renderMember({
    installation,
    instanceId: instance.id,
    instanceIds: instanceIds(desired),
    endpointIds: endpointIds(desired),
    sizes: { ...tier, storageBytes: desired.database.storageBytes },
    trustBundlePem: desired.trustBundlePem,
    server,
    mayInitialise: instance.role === 'serving' && instance.initialisedAt === null,
  }, copyFiles(desired, instance, copyRateMib))
  return blueprintOf(installation, desired, {
    kind: 'member',
    owner: { [label.instance]: instance.id, [label.member]: member.id },
    remakeFor: [config.restartHash],
    name: names.member(member.id),
    hostId: host.id,
    image: desired.database.images.postgres,
    command: ['standalone'],
    mounts: [
      { volume: names.dataVolume(member.id), path: '/data' },
      { volume: names.memberConfVolume(member.id), path: '/conf' },
    ],
    network: { name: names.network(desired.project.id), aliases: [] },
    ports: [
      { containerPort: 5432, address: host.privateAddress, hostPort: member.ports.postgres },
      { containerPort: 8432, address: host.privateAddress, hostPort: member.ports.backup },
    ],
    extraHosts: [],
    limits: memberLimits(desired),
    restart: 'always',
  }, config)
}

export function memberLimits(desired: Desired): Blueprint['limits'] {
  const tier = tiers[desired.database.tier]
  return {
    memoryBytes: tier.memoryBytes,
    cpus: tier.cpus,
    pids: tier.maxConnections + processesBesideConnections,
    // Parallel queries share their hash tables there. It counts as the container's memory, so it may be as large as a half.
    shmBytes: Math.max(64 * mib, Math.floor(tier.memoryBytes / 2)),
  }
}

/** Those whose members are there, or will be. */
export function instanceIds({ instances }: Desired): string[] {
  return instances.filter(({ role }) => role !== 'retired').map(({ id }) => id)
}

/** While an endpoint is taken over, the pooler of the other one logs in here, too. */
export function endpointIds({ endpoint, peerEndpoint }: Desired): string[] {
  return [endpoint?.id, peerEndpoint?.endpoint.id].filter((id) => id !== undefined)
}
