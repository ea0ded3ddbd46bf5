/** Blueprints of the simulated world: names, labels and hashes as rendering makes them, without a word in any file. */
import type { Blueprint, Blueprints } from '../../src/domain/blueprint.ts'
import { certificateKey, servingInstance, type CertificatePurpose, type Desired, type Instance, type Member } from '../../src/domain/desired.ts'
import { label, resourceNames, type ResourceKind } from '../../src/domain/names.ts'
import type { Blueprinter } from '../../src/domain/ports.ts'
import { proxiesInUse, proxyKey } from '../../src/domain/reading.ts'
import { tiers } from '../../src/domain/tiers.ts'
import { theHost } from './worldStore.ts'

export const installation = 'world'
export const names = resourceNames(installation)

/** What allows the data that are on a volume to become a new cluster's. */
export function adoptPermission(instanceId: string): string {
  return `adopt ${instanceId}`
}

/** The file that allows an empty volume to be initialised. */
export const permissionPath = '/conf/initialise'

/** What a new cluster begins with: Patroni's section `bootstrap`. */
export const bootstrapPath = '/conf/bootstrap'

interface Shape {
  readonly kind: ResourceKind
  readonly name: string
  readonly owner: Readonly<Record<string, string>>
  readonly mounts: readonly string[]
  readonly ports: readonly number[]
  readonly spec: readonly unknown[]
  readonly config: readonly unknown[]
  readonly files?: Blueprint['files']
  /** Name of the container whose network it lives in. */
  readonly pod?: string
}

export function blueprintOf(desired: Desired, shape: Shape): Blueprint {
  const identity = { [label.installation]: installation, [label.kind]: shape.kind, [label.project]: desired.project.id, [label.database]: desired.database.id, ...shape.owner }
  const specHash = JSON.stringify([identity, shape.ports, shape.spec])
  return {
    name: shape.name, hostId: theHost.id, image: '', command: [],
    labels: { ...identity, [label.spec]: specHash, [label.generation]: String(desired.database.generation) },
    mounts: shape.mounts.map((volume, index) => ({ volume, path: index === 0 && shape.kind === 'member' ? '/data' : `/${index}` })),
    network: shape.pod === undefined ? { name: names.network(desired.project.id), aliases: [] } : { container: shape.pod },
    ports: shape.ports.map((hostPort) => ({ containerPort: 1, address: '', hostPort })),
    extraHosts: [], limits: { memoryBytes: 0, cpus: 0, pids: 0, shmBytes: 0 },
    restart: shape.kind === 'job' || shape.pod !== undefined ? 'no' : 'always',
    files: shape.files ?? [], specHash, configHash: JSON.stringify(shape.config),
  }
}

function permissionOf({ id, kind, role, initialisedAt }: Instance, { ordinal }: Member): string {
  if (role === 'restoring' && kind === 'cluster') return ordinal === 1 ? adoptPermission(id) : ''
  return role === 'serving' && initialisedAt === null ? id : ''
}

export const blueprinter: Blueprinter = {
  blueprints: (desired): Blueprints => ({
    members: new Map(instancesOf(desired).flatMap((instance) => instance.members.flatMap((member) => {
      const certificate = certificateOf(desired, 'member', member.id)
      if (certificate === null) return []
      // what the files say is what the hash covers: the permission to initialise is withdrawn like any other setting
      const permission = permissionOf(instance, member)
      const poolers = [desired.endpoint?.id, desired.peerEndpoint?.endpoint.id].filter((id) => id !== undefined).sort()
      const isCluster = instance.kind === 'cluster'
      return [[member.id, blueprintOf(desired, {
        kind: 'member', name: names.member(member.id), owner: { [label.instance]: instance.id, [label.member]: member.id },
        mounts: [names.dataVolume(member.id), names.memberConfVolume(member.id)], ports: isCluster ? [] : [member.ports.postgres, member.ports.backup],
        spec: [desired.database.images.postgres, desired.database.tier], config: [certificate, desired.trustBundlePem, poolers, desired.database.storageBytes, permission],
        files: [
          { path: permissionPath, content: permission, mode: 0o600, secret: false },
          ...(isCluster ? [{ path: bootstrapPath, content: JSON.stringify(configurationOf(desired)), mode: 0o600, secret: false }] : []),
        ],
        ...(isCluster && { pod: names.pod(member.id) }),
      })] as const]
    }))),
    pods: new Map(clustersOf(desired).flatMap((instance) => instance.members.map((member) => [member.id, blueprintOf(desired, {
      kind: 'pod', name: names.pod(member.id), owner: { [label.instance]: instance.id, [label.member]: member.id },
      mounts: [], ports: [member.ports.postgres, member.ports.backup, member.ports.patroni ?? 0], spec: [desired.database.images.haproxy], config: [],
    })] as const))),
    configurations: new Map(clustersOf(desired).map(({ id }) => [id, configurationOf(desired)])),
    agents: new Map(instancesOf(desired).flatMap((instance) => {
      const certificate = certificateOf(desired, 'agent', instance.id)
      if (certificate === null) return []
      return [[instance.id, blueprintOf(desired, {
        kind: 'agent', name: names.agent(instance.id), owner: { [label.instance]: instance.id },
        mounts: [names.agentConfVolume(instance.id), names.walVolume(instance.id)], ports: [], spec: [certificate, desired.trustBundlePem], config: [certificate],
      })] as const]
    })),
    proxies: new Map(proxiesOf(desired)),
  }),
}

/** `size` stands for what a restart of the leader has to come first for when it gets smaller. */
function configurationOf({ database }: Desired): Readonly<Record<string, unknown>> {
  return { synchronous_mode: database.durability === 'strict' ? true : 'quorum', size: tiers[database.tier].maxConnections, postgresql: { use_pg_rewind: true } }
}

function clustersOf(desired: Desired): Desired['instances'] {
  return instancesOf(desired).filter(({ kind }) => kind === 'cluster')
}

function proxiesOf(desired: Desired): (readonly [string, Blueprint])[] {
  const { endpoint } = desired
  const backend = (servingInstance(desired) ?? desired.instances.find((one) => one.role === 'restoring'))?.members[0]
  if (endpoint === null || backend === undefined) return []
  const certificate = [certificateOf(desired, 'endpointServer', endpoint.id), certificateOf(desired, 'endpointClient', endpoint.id)]
  if (certificate.includes(null)) return []
  return proxiesInUse(desired, endpoint).map((proxy) => [proxyKey(endpoint.id, proxy.slot), blueprintOf(desired, {
    kind: 'endpoint', name: names.endpoint(endpoint.id, proxy.slot), owner: { [label.endpoint]: endpoint.id },
    mounts: [names.endpointConfVolume(desired.database.id, proxy.slot)], ports: Object.values(proxy.ports),
    spec: [desired.database.images.haproxy, backend.ports.postgres, desired.database.name, desired.database.topology], config: [certificate, desired.trustBundlePem, desired.database.allowList],
  })])
}

function instancesOf({ instances }: Desired): Desired['instances'] {
  return instances.filter((instance) => instance.role !== 'retired')
}

function certificateOf({ certificates }: Desired, purpose: CertificatePurpose, ownerId: string): string | null {
  return certificates.get(certificateKey(purpose, ownerId))?.certificatePem ?? null
}
