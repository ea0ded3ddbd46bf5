/** The files of a member whose container runs: installed anew when PostgreSQL has not loaded what they should say. */
import type { Blueprint } from '../domain/blueprint.ts'
import { isOwnCluster } from '../domain/cluster.ts'
import type { Member } from '../domain/desired.ts'
import type { ContainerSeen } from '../domain/observed.ts'
import { act, merge, nothing, waitFor, type Part } from '../domain/part.ts'
import { stateOf, type ClusterScene } from './clusterScene.ts'

const soonMs = 200
const laterMs = 1_000
/** A copy of a small database takes seconds; until then look often, afterwards seldom. */
const bootMs = 15_000

export interface ClusterServer {
  readonly member: Member
  readonly blueprint: Blueprint
  readonly container: ContainerSeen
}

export function planServer(scene: ClusterScene, { member, blueprint, container }: ClusterServer): Part {
  const { input, instance } = scene
  const seen = input.observed.postgres.get(member.id)
  const install = act({ kind: 'installFiles', blueprint, containerId: container.id })
  if (seen?.known !== true) {
    const isYoung = input.now.getTime() - container.since.getTime() < bootMs
    const wait = waitFor(`PostgreSQL of member ${member.ordinal} to accept connections (${stateOf(scene, member)})`, isYoung ? soonMs : laterMs)
    // through the engine: it asks neither side for a certificate that may be the very thing that is out of date
    return isDistrusted(scene, member) ? merge([wait, install]) : wait
  }
  if (!isOwnCluster(instance, seen.value) || seen.value.configHash === blueprint.configHash) return nothing
  return merge([install, waitFor(`member ${member.ordinal} to load its new configuration`, soonMs)])
}

function isDistrusted({ input: { observed } }: ClusterScene, { id }: Member): boolean {
  return [observed.postgres.get(id), observed.patroni.get(id)].some((seen) => seen?.known === false && seen.distrust === true)
}
