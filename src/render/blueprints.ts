/**
 * What a database has to look like on engines: every container it consists of, from what is desired. Pure: the same desired
 * state gives the same blueprints and hashes. A container is left out until the certificates that it needs exist.
 */
import type { JobOrder } from '../domain/action.ts'
import type { Blueprint } from '../domain/blueprint.ts'
import type { Desired, Instance, Member } from '../domain/desired.ts'
import type { Blueprinter } from '../domain/ports.ts'
import { proxiesInUse, proxyKey } from '../domain/reading.ts'
import { agentBlueprint, jobBlueprint, type AgentSettings, type ObjectStoreAccess, type RepositoryKeys } from './agentBlueprint.ts'
import { clusterConfiguration } from './clusterConfiguration.ts'
import { clusterMemberBlueprint, configurationOf, podBlueprint, type ClusterSettings } from './clusterMemberBlueprint.ts'
import { endpointBlueprint } from './endpointBlueprint.ts'
import { memberBlueprint } from './memberBlueprint.ts'

export type { ObjectStoreAccess, RepositoryKeys } from './agentBlueprint.ts'

export type { DcsAccess } from './clusterMember.ts'

export interface BlueprintSettings extends AgentSettings, ClusterSettings {
  readonly installation: string
  /** Address on which endpoints are published to customers. */
  readonly publicBind: string
  readonly objectStore: ObjectStoreAccess
}

export interface JobBlueprinter extends Blueprinter {
  /** `source`: path and cipher of the repository that a restore reads. Null while a certificate is missing. */
  jobBlueprint(desired: Desired, order: JobOrder, source: RepositoryKeys | null): Blueprint | null
}

export function createBlueprinter(settings: BlueprintSettings): JobBlueprinter {
  return {
    blueprints: (desired) => {
      const instances = desired.instances.filter((instance) => instance.role !== 'retired')
      const clusters = instances.filter((instance) => instance.kind === 'cluster')
      const members = instances.flatMap((instance) => instance.members.map((member) => [member.id, ofMember(settings, desired, instance, member)] as const))
      const pods = clusters.flatMap((instance) => instance.members.map((member) =>
        [member.id, podBlueprint(settings.installation, desired, instance, member)] as const))
      const agents = instances.map((instance) => [instance.id, agentBlueprint(settings, desired, instance)] as const)
      return {
        members: present(members),
        pods: present(pods),
        configurations: new Map(clusters.map((instance) => [instance.id, clusterConfiguration(configurationOf(desired, instance))])),
        agents: present(agents),
        proxies: present(proxyBlueprints(settings, desired)),
      }
    },
    jobBlueprint: (desired, order, source) => jobBlueprint(settings, desired, order, source),
  }
}

function ofMember(settings: BlueprintSettings, desired: Desired, instance: Instance, member: Member): Blueprint | null {
  return instance.kind === 'cluster'
    ? clusterMemberBlueprint(settings, desired, instance, member)
    : memberBlueprint(settings, desired, instance, member)
}

function proxyBlueprints(settings: BlueprintSettings, desired: Desired): (readonly [string, Blueprint | null])[] {
  const { endpoint } = desired
  if (endpoint === null) return []
  return proxiesInUse(desired, endpoint).map((proxy) =>
    [proxyKey(endpoint.id, proxy.slot), endpointBlueprint(settings, desired, endpoint, proxy)] as const)
}

function present(entries: readonly (readonly [string, Blueprint | null])[]): ReadonlyMap<string, Blueprint> {
  return new Map(entries.flatMap(([key, blueprint]) => (blueprint === null ? [] : [[key, blueprint] as const])))
}
