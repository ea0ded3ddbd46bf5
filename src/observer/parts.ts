/** Which questions a pass has to ask, from what is desired and what the inventory holds. Pure. */
import type { Desired, Host, Member, Proxy } from '../domain/desired.ts'
import { hostOf } from '../domain/desired.ts'
import { label, type ResourceKind, type ResourceNames } from '../domain/names.ts'
import type { ContainerSeen, EngineSeen } from '../domain/observed.ts'
import { containerNamed, proxiesInUse, proxyKey } from '../domain/reading.ts'
import type { Sighting } from '../domain/sighting.ts'

export type Engines = ReadonlyMap<string, Sighting<EngineSeen>>

export interface RunningMember {
  readonly member: Member
  readonly host: Host
  readonly container: ContainerSeen
}

export interface RunningProxy {
  readonly key: string
  readonly endpointId: string
  readonly proxy: Proxy
  readonly host: Host
  readonly container: ContainerSeen
}

export interface FoundJob {
  readonly id: string
  readonly hostId: string
  readonly container: ContainerSeen
}

export function runningMembers(desired: Desired, engines: Engines, names: ResourceNames): RunningMember[] {
  return desired.instances.flatMap((instance) => instance.members).flatMap((member) => {
    const container = running(engines, member.hostId, names.member(member.id))
    return container === null ? [] : [{ member, host: hostOf(desired, member.hostId), container }]
  })
}

export function runningProxies(desired: Desired, engines: Engines, names: ResourceNames): RunningProxy[] {
  const { endpoint } = desired
  if (endpoint === null) return []
  return proxiesInUse(desired, endpoint).flatMap((proxy) => {
    const container = running(engines, proxy.hostId, names.endpoint(endpoint.id, proxy.slot))
    return container === null ? [] : [{ key: proxyKey(endpoint.id, proxy.slot), endpointId: endpoint.id, proxy, host: hostOf(desired, proxy.hostId), container }]
  })
}

export function foundJobs(engines: Engines): FoundJob[] {
  return [...engines].flatMap(([hostId, engine]) => (engine.known ? engine.value.containers : []).flatMap((container) => {
    const id = container.labels[label.job]
    return id === undefined || container.labels[label.kind] !== jobKind ? [] : [{ id, hostId, container }]
  }))
}

const jobKind: ResourceKind = 'job'

/** Which run of which container: an answer from another run is no answer. */
export function runOf(container: ContainerSeen): string {
  return `${container.id}/${container.state}/${container.since.getTime()}`
}

function running(engines: Engines, hostId: string, name: string): ContainerSeen | null {
  const engine = engines.get(hostId)
  const container = engine?.known === true ? containerNamed(engine.value, name) : undefined
  return container?.state === 'running' ? container : null
}
