/** The two containers of a cluster's member: the pod, which owns network namespace and published ports, and Patroni within it. */
import type { Blueprint } from '../domain/blueprint.ts'
import { certificateKey, hostOf, instanceWith, isFollower, servingInstance, type ClusterScope, type Desired, type Instance, type Member } from '../domain/desired.ts'
import { dcsNamespace, label, patroniName, resourceNames } from '../domain/names.ts'
import { tiers } from '../domain/tiers.ts'
import { configurationText, type ConfigurationInput } from './clusterConfiguration.ts'
import { renderClusterMember, type ClusterMemberInput, type DcsAccess } from './clusterMember.ts'
import { endpointIds, instanceIds, memberLimits, type MemberSettings } from './memberBlueprint.ts'
import { blueprintOf } from './spec.ts'

export interface ClusterSettings extends MemberSettings {
  /** Null: no etcd, hence no clusters. */
  readonly dcs: DcsAccess | null
}

const mib = 1024 * 1024
/** A supervisor of two MiB, and now and then a fence helper or several that wait for their end. */
const podLimits = { memoryBytes: 128 * mib, cpus: 1, pids: 64, shmBytes: 16 * mib }

/** The first member makes the database, the others copy it: none of them has to win anything first. */
const firstOrdinal = 1

/** Null until the member's certificate exists. */
export function clusterMemberBlueprint({ installation, dcs, copyRateMib }: ClusterSettings, desired: Desired, instance: Instance, member: Member): Blueprint | null {
  const server = desired.certificates.get(certificateKey('member', member.id))
  const { cluster } = instance
  const { patroni } = member.ports
  if (server === undefined || cluster === null || dcs === null || patroni === null) return null
  const names = resourceNames(installation)
  const configuration = configurationOf(desired, instance)
  const config = renderClusterMember({
    installation,
    instanceId: instance.id,
    instanceIds: instanceIds(desired),
    endpointIds: endpointIds(desired),
    sizes: configuration.sizes,
    trustBundlePem: desired.trustBundlePem,
    server,
    begins: member.ordinal === firstOrdinal ? beginning(instance) : null,
    name: patroniName(member.id),
    names: instance.members.map(({ id }) => patroniName(id)).toSorted(),
    address: hostOf(desired, member.hostId).privateAddress,
    ports: { postgres: member.ports.postgres, patroni },
    namespace: dcsNamespace(installation),
    scope: cluster,
    dcs,
    configurationText: configurationText(configuration),
    copyRateMib,
  })
  return blueprintOf(installation, desired, {
    kind: 'member',
    owner: { [label.instance]: instance.id, [label.member]: member.id },
    // Patroni reads addresses once: of this member, of etcd, and as whom it comes there.
    remakeFor: [config.restartHash, ...readOnce(desired, member, cluster, dcs)],
    name: names.member(member.id),
    hostId: member.hostId,
    image: desired.database.images.postgres,
    command: ['patroni'],
    mounts: [
      { volume: names.dataVolume(member.id), path: '/data' },
      { volume: names.memberConfVolume(member.id), path: '/conf' },
    ],
    network: { container: names.pod(member.id) },
    ports: [],
    extraHosts: [],
    limits: memberLimits(desired),
    // Without its pod it could not be started anyway, and a leader that died must stay dead until its key is seen to.
    restart: 'no',
  }, config)
}

export function podBlueprint(installation: string, desired: Desired, instance: Instance, member: Member): Blueprint | null {
  const { patroni, postgres, backup } = member.ports
  if (patroni === null) return null
  const names = resourceNames(installation)
  const { id, privateAddress } = hostOf(desired, member.hostId)
  const published = (containerPort: number, hostPort: number) => ({ containerPort, address: privateAddress, hostPort })
  return blueprintOf(installation, desired, {
    kind: 'pod',
    owner: { [label.instance]: instance.id, [label.member]: member.id },
    remakeFor: [],
    name: names.pod(member.id),
    hostId: id,
    image: desired.database.images.postgres,
    command: ['pod'],
    mounts: [],
    network: { name: names.network(desired.project.id), aliases: [] },
    // For the fence: routes and sockets of the namespace that the member lives in. The member itself has no capability.
    capabilities: ['NET_ADMIN'],
    ports: [published(5432, postgres), published(8432, backup), published(8008, patroni)],
    extraHosts: [],
    limits: podLimits,
    restart: 'always',
  }, { files: [], configHash: '' })
}

function beginning({ role, initialisedAt }: Instance): ClusterMemberInput['begins'] {
  if (role === 'restoring') return 'restoredData'
  if (initialisedAt !== null) return null
  return role === 'preparing' ? 'copy' : role === 'serving' ? 'newDatabase' : null
}

export function configurationOf(desired: Desired, instance: Instance): ConfigurationInput {
  const { database: { tier, storageBytes, durability } } = desired
  const serving = servingInstance(desired)?.members[0]
  const follows = isFollower(instance) && serving !== undefined ? { address: hostOf(desired, serving.hostId).privateAddress, port: serving.ports.postgres } : null
  return { durability, sizes: { ...tiers[tier], storageBytes }, follows, isFollowed: instance.role === 'serving' && instanceWith(desired, 'rollbackTarget') !== undefined }
}

/** Of a cluster that is to follow this standalone, whoever serves now. */
export function followingConfigurationOf(desired: Desired, instance: Instance, standalone: Member): ConfigurationInput {
  return { ...configurationOf(desired, instance), follows: { address: hostOf(desired, standalone.hostId).privateAddress, port: standalone.ports.postgres }, isFollowed: false }
}

function readOnce(desired: Desired, member: Member, { scope, user }: ClusterScope, dcs: DcsAccess): readonly string[] {
  const { privateAddress } = hostOf(desired, member.hostId)
  const etcd = dcs.hosts.map(({ host, port }) => `${host}:${port}`).join()
  return [scope, user, etcd, `${privateAddress}:${member.ports.postgres}:${member.ports.patroni ?? ''}`]
}
