/** The container of one proxy: HAProxy and PgBouncer of an endpoint. */
import type { Blueprint, PublishedPort } from '../domain/blueprint.ts'
import { certificateKey, hostOf, instanceWith, servingInstance, type Desired, type Endpoint, type Instance, type Member, type Proxy } from '../domain/desired.ts'
import { internalName, label, patroniName, resourceNames } from '../domain/names.ts'
import { tiers } from '../domain/tiers.ts'
import { renderEndpoint } from './endpoint.ts'
import type { ClusterServer, EndpointTarget } from './endpointBackends.ts'
import { blueprintOf } from './spec.ts'

const mib = 1024 * 1024
/** HAProxy holds two buffers of 16 KiB for each session, PgBouncer a few KiB: enough for every tier's connections. */
const limits = { memoryBytes: 256 * mib, cpus: 1, pids: 64, shmBytes: 16 * mib }

/** Null until both certificates exist, and while no member is there to lead to. */
export function endpointBlueprint(
  { installation, publicBind }: { readonly installation: string; readonly publicBind: string },
  desired: Desired,
  endpoint: Endpoint,
  proxy: Proxy,
): Blueprint | null {
  const server = desired.certificates.get(certificateKey('endpointServer', endpoint.id))
  const client = desired.certificates.get(certificateKey('endpointClient', endpoint.id))
  const instance = backendOf(desired)
  const target = instance === undefined ? null : movingTarget(desired) ?? targetOf(desired, instance)
  if (server === undefined || client === undefined || instance === undefined || target === null) return null
  const names = resourceNames(installation)
  const host = hostOf(desired, proxy.hostId)
  const config = renderEndpoint({
    installation,
    endpointId: endpoint.id,
    databaseName: desired.database.databaseName,
    target,
    maxConnections: tiers[desired.database.tier].maxConnections,
    allowList: desired.database.allowList,
    trustBundlePem: desired.trustBundlePem,
    server,
    client,
  })
  return blueprintOf(installation, desired, {
    kind: 'endpoint',
    owner: { [label.endpoint]: endpoint.id },
    // Another backend is another database to the clients: their sessions have to end, which a reload would not do.
    remakeFor: [instance.repository.path],
    name: names.endpoint(endpoint.id, proxy.slot),
    hostId: host.id,
    image: desired.database.images.haproxy,
    command: ['endpoint'],
    mounts: [{ volume: names.endpointConfVolume(desired.database.id, proxy.slot), path: '/conf' }],
    network: { name: names.network(desired.project.id), aliases: [desired.database.name, internalName.endpoint(endpoint.id)] },
    ports: portsOf(proxy, publicBind, host.privateAddress),
    // PgBouncer reaches its servers through the HAProxy beside it, under the name that their certificates carry.
    extraHosts: [`${internalName.endpoint(endpoint.id)}:127.0.0.1`],
    limits,
    restart: 'always',
  }, config)
}

/** The instance that the endpoint leads to: the serving one, or the one that will serve when its restore is done. */
function backendOf(desired: Desired): Instance | undefined {
  return servingInstance(desired) ?? desired.instances.find((candidate) => candidate.role === 'restoring')
}

/** Null while one instance is all there is. */
function movingTarget(desired: Desired): EndpointTarget | null {
  const [serving, other] = [servingInstance(desired), instanceWith(desired, 'preparing') ?? instanceWith(desired, 'rollbackTarget')]
  const standalone = [serving, other].find((one) => one?.kind === 'standalone')?.members[0]
  const cluster = [serving, other].find((one) => one?.kind === 'cluster')
  if (serving === undefined || standalone === undefined || cluster === undefined) return null
  const { privateAddress } = hostOf(desired, standalone.hostId)
  return {
    kind: 'moving', serves: serving.kind, address: privateAddress, port: standalone.ports.postgres,
    servers: cluster.members.map((member) => clusterServer(desired, member)),
  }
}

function targetOf(desired: Desired, { kind, members }: Instance): EndpointTarget | null {
  const [first] = members
  if (first === undefined) return null
  if (kind === 'cluster') return { kind, servers: members.map((member) => clusterServer(desired, member)) }
  return { kind, address: hostOf(desired, first.hostId).privateAddress, port: first.ports.postgres }
}

function clusterServer(desired: Desired, { id, hostId, ports: { postgres, patroni } }: Member): ClusterServer {
  if (patroni === null) throw new Error(`member ${id} of a cluster has no port for Patroni`)
  return { name: patroniName(id), address: hostOf(desired, hostId).privateAddress, ports: { postgres, patroni }, serverName: internalName.member(id) }
}

/** The public face has an allow-list, the runtime interface mutual TLS. The private face is not published. */
function portsOf({ ports }: Proxy, publicBind: string, privateAddress: string): PublishedPort[] {
  return [
    { containerPort: 15432, address: publicBind, hostPort: ports.rw },
    { containerPort: 15433, address: publicBind, hostPort: ports.ro },
    { containerPort: 16432, address: publicBind, hostPort: ports.pooled },
    { containerPort: 9999, address: privateAddress, hostPort: ports.runtime },
  ]
}
