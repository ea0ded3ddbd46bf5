/**
 * The members of a serving instance: data volume, container, loaded configuration, what PostgreSQL must hold inside.
 * A database once initialised is never given an empty volume: a missing one is terminal.
 */
import type { Action } from '../domain/action.ts'
import type { Blueprint } from '../domain/blueprint.ts'
import type { Instance, Member } from '../domain/desired.ts'
import type { ContainerSeen, PostgresSeen } from '../domain/observed.ts'
import { planContainer, type ContainerPlan } from './containers.ts'
import { planCredentials } from './credentials.ts'
import { act, block, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { planReadOnly, planSize } from './storage.ts'
import { isOwnCluster } from '../domain/cluster.ts'
import { engineOf } from '../domain/reading.ts'

/** A booting server answers within a second or two; until then look often, afterwards seldom. */
const bootMs = 10_000
const probeSoonMs = 60
const probeLaterMs = 1_000

export function planMembers(input: PlanInput, instance: Instance): Part {
  return merge(instance.members.map((member) => planMember(input, instance, member)))
}

/** Only what a member stands on, while nothing else of it can be made yet. */
export function planDataVolumes(input: PlanInput, instance: Instance | undefined): Part {
  const volumes = instance?.members.map((member) => planDataVolume(input, instance, member)) ?? []
  return merge(volumes.filter((volume) => volume !== 'present'))
}

function planMember(input: PlanInput, instance: Instance, member: Member): Part {
  const volume = planDataVolume(input, instance, member)
  if (volume !== 'present') return volume
  const seen = input.observed.postgres.get(member.id)
  if (seen?.known === true && !isOwnCluster(instance, seen.value)) return foreignCluster(instance, seen.value)
  // beside the container, not after it: on a full disk PostgreSQL may not come up before there is more room
  const size = planSize(input, member)
  const blueprint = input.blueprints.members.get(member.id)
  if (blueprint === undefined) return merge([size, waitFor('the certificate of the member to be issued', probeLaterMs)])
  const plan = returning(planContainer(input, blueprint, `PostgreSQL (member ${member.ordinal})`))
  if (plan.running === null) return merge([size, plan.part])
  return merge([size, plan.part, planServer(input, { instance, member, blueprint, container: plan.running })])
}

/** It is stopped to be replaced, and for nothing else: its clients wait until it is back. */
function returning(plan: ContainerPlan): ContainerPlan {
  const actions = plan.part.actions.map((action): Action => (action.kind === 'stopContainer' ? { ...action, returns: true } : action))
  return { ...plan, part: { ...plan.part, actions } }
}

/** `present`: nothing is to be done. */
export function planDataVolume(input: PlanInput, instance: Instance, member: Member): Part | 'present' {
  const { desired, names } = input
  const engine = engineOf(input.observed, member.hostId)
  if (!engine.known) return waitFor(`the data volume: its host cannot be seen (${engine.reason})`, probeLaterMs)
  const name = names.dataVolume(member.id)
  if (engine.value.volumes.some((volume) => volume.name === name)) return 'present'
  if (instance.initialisedAt !== null) {
    return block('DataMissing', `The data volume ${name} is gone from its host. Nothing was put in its place; restore the database from its latest backup.`)
  }
  const create = act({
    kind: 'createDataVolume', hostId: member.hostId, memberId: member.id, instanceId: instance.id,
    databaseId: desired.database.id, name, bytes: desired.database.storageBytes,
  })
  return merge([create, waitFor('the data volume to be made', 100)])
}

interface Server {
  readonly instance: Instance
  readonly member: Member
  readonly blueprint: Blueprint
  readonly container: ContainerSeen
}

function planServer(input: PlanInput, server: Server): Part {
  const seen = input.observed.postgres.get(server.member.id)
  if (seen === undefined || !seen.known) {
    const age = input.now.getTime() - server.container.since.getTime()
    const why = seen === undefined ? 'not asked yet' : seen.reason
    const wait = waitFor(`PostgreSQL to accept connections (${why})`, age < bootMs ? probeSoonMs : probeLaterMs)
    return seen?.distrust === true ? merge([wait, installing(server)]) : wait
  }
  const settings = merge([planIdentity(server.instance, seen.value), planConfiguration(server, seen.value)])
  // roles and databases can only be made where writes are accepted
  if (seen.value.inRecovery) return merge([settings, waitFor('PostgreSQL to end its recovery; a fenced member stays in it until its fence is lifted', probeLaterMs)])
  return merge([settings, planReadOnly(input, server.member, seen.value), planCredentials(input, server.member, seen.value)])
}

function planIdentity(instance: Instance, seen: PostgresSeen): Part {
  if (instance.systemIdentifier !== null) return nothing
  return record({ kind: 'instanceInitialised', instanceId: instance.id, systemIdentifier: seen.systemIdentifier })
}

function foreignCluster(instance: Instance, seen: PostgresSeen): Part {
  return block('DataMissing', `The data volume holds another cluster (system identifier ${seen.systemIdentifier}, expected ${instance.systemIdentifier}). It is left alone; put the right volume back or restore the database from its latest backup.`)
}

/** Through the engine: it asks neither side for a certificate that may be the very thing that is out of date. */
function installing({ blueprint, container }: Pick<Server, 'blueprint' | 'container'>): Part {
  return act({ kind: 'installFiles', blueprint, containerId: container.id })
}

function planConfiguration({ blueprint, container }: Server, seen: PostgresSeen): Part {
  if (seen.configHash === blueprint.configHash) return nothing
  return merge([installing({ blueprint, container }), waitFor('PostgreSQL to load its new configuration', 250)])
}
