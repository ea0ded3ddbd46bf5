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

/** A member of a cluster, with the pod that its Patroni is reached through. */
export interface RunningPatroni extends RunningMember {
  readonly port: number
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
    const container = runningContainer(engines, member.hostId, names.member(member.id))
    return container === null ? [] : [{ member, host: hostOf(desired, member.hostId), container }]
  })
}

/** Of what does not run behind a running pod nobody answers. */
export function runningPatronis(desired: Desired, engines: Engines, names: ResourceNames): RunningPatroni[] {
  return runningMembers(desired, engines, names).flatMap((running) => {
    const { member } = running
    const port = member.ports.patroni
    return port === null || runningContainer(engines, member.hostId, names.pod(member.id)) === null ? [] : [{ ...running, port }]
  })
}

/** Whether every container of every cluster runs as far as can be seen: then nothing but an event changes who leads. */
export function clustersRun(desired: Desired, engines: Engines, names: ResourceNames): boolean {
  return clusterMembers(desired).every(({ id, hostId }) =>
    [names.pod(id), names.member(id)].every((name) => runningContainer(engines, hostId, name) !== null))
}

function clusterMembers(desired: Desired): readonly Member[] {
  return desired.instances.filter(({ kind }) => kind === 'cluster').flatMap(({ members }) => members)
}

export function runningProxies(desired: Desired, engines: Engines, names: ResourceNames): RunningProxy[] {
  const { endpoint } = desired
  if (endpoint === null) return []
  return proxiesInUse(desired, endpoint).flatMap((proxy) => {
    const container = runningContainer(engines, proxy.hostId, names.endpoint(endpoint.id, proxy.slot))
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

function runningContainer(engines: Engines, hostId: string, name: string): ContainerSeen | null {
  const engine = engines.get(hostId)
  const container = engine?.known === true ? containerNamed(engine.value, name) : undefined
  return container?.state === 'running' ? container : null
}
