/**
 * `plan(desired, observed, now) → actions`: pure, the same input gives the same plan. It joins the concerns, lets at
 * most one disruptive action through, and says what it waits for.
 */
import { isDisruptive, type Action, type Plan } from '../domain/action.ts'
import { adoptingInstance, isMovingClients, servingInstance } from '../domain/desired.ts'
import { label, type ResourceKind } from '../domain/names.ts'
import { planAgent } from './agent.ts'
import { planCluster, planScope } from './cluster.ts'
import { planMember } from './clusterMember.ts'
import { sceneOf } from './clusterScene.ts'
import { planVolumes } from './clusterVolume.ts'
import { planBackups } from './backups.ts'
import { planCertificates } from './certificates.ts'
import { planConditions } from './conditions.ts'
import { currentFinalizer, planBackupsGone, planContainersGone, planFinalBackup, planVolumesGone } from './deletion.ts'
import { planEndpoint } from './endpoint.ts'
import { planOthers } from './follower.ts'
import { planFinishedJobs } from './jobs.ts'
import { planDataVolumes, planMembers } from './members.ts'
import { planNetworks } from './networks.ts'
import { block, changesAnything, isSettled, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { primaryMember } from '../domain/reading.ts'

/** `extra` is what an unfinished operation decided for this pass. */
export function plan(input: PlanInput, extra: Part = nothing): Plan {
  const wanted = merge([extra, planDatabase(input)])
  const { paused } = input.desired.database
  const part = paused ? { ...nothing, blocked: wanted.blocked } : lookAfterChange(oneDisruption(wanted))
  return {
    actions: part.actions,
    records: part.records,
    conditions: planConditions(input, part),
    settled: isSettled(part) && !paused,
    requeueAfterMs: part.requeueAfterMs,
    waitingFor: part.waitingFor,
  }
}

function planDatabase(input: PlanInput): Part {
  if (input.desired.database.deletionRequestedAt === null) return planServing(input)
  switch (currentFinalizer(input)) {
    case 'finalBackup':
      return merge([planFinalBackup(input), planServing(input)])
    case 'containers':
      return planContainersGone(input)
    case 'volumes':
      return planVolumesGone(input)
    case 'backups':
      return planBackupsGone(input)
    case null:
      return nothing
  }
}

function planServing(input: PlanInput): Part {
  if (isMovingClients(input.desired)) return planMoving(input)
  const networks = planNetworks(input)
  const certificates = planCertificates(input)
  // a container cannot join a network that is not there yet; what members stand on needs none
  if (networks.actions.length > 0) return merge([networks, certificates, planFoundations(input)])
  const instance = planInstance(input)
  // PostgreSQL takes a while to come up: the endpoint is made meanwhile, and does not compete with its start for the engine
  if (instance.actions.some(makesMember)) return merge([networks, certificates, instance])
  const endpoint = planEndpoint(input)
  // what serves comes before what is tidied up: only one of them may be disruptive
  return merge([networks, certificates, afterEndpoint(instance, endpoint), endpoint, planOthers(input), planFinishedJobs(input)])
}

/** One sequence of its own says what is to serve and what is to stop; here only what it needs and is gone is made or started again. */
function planMoving(input: PlanInput): Part {
  const serving = servingInstance(input.desired)
  const scene = serving === undefined ? null : sceneOf(input, serving)
  const members = scene !== null ? scene.instance.members.map((member) => planMember(scene, member)) : serving === undefined ? [] : [planMembers(input, serving)]
  const { actions } = merge([...members, planEndpoint(input), planOthers(input)])
  return { ...nothing, actions: actions.filter(({ kind }) => kind === 'createContainer' || kind === 'startContainer') }
}

/** A proxy that begins anew knows nothing of the clients that it was told to hold: first it has its configuration, then its server is replaced. */
function afterEndpoint(instance: Part, endpoint: Part): Part {
  const early = instance.actions.filter((action) => action.kind === 'stopContainer' && action.returns === true)
  if (early.length === 0 || endpoint.actions.length === 0) return instance
  const part = { ...instance, actions: instance.actions.filter((action) => !early.includes(action)) }
  return merge([part, waitFor('the endpoint to load its new configuration, before its server is replaced', endpointLookMs)])
}

const endpointLookMs = 100

/** Volumes, and a cluster's scope in etcd. */
function planFoundations(input: PlanInput): Part {
  const instance = servingInstance(input.desired)
  const scene = instance === undefined ? null : sceneOf(input, instance)
  return scene === null ? planDataVolumes(input, instance) : merge([planScope(scene), planVolumes(scene)])
}

function makesMember(action: Action): boolean {
  return action.kind === 'createContainer' && memberKinds.has(action.blueprint.labels[label.kind] ?? '')
}

const memberKinds: ReadonlySet<string> = new Set<ResourceKind>(['member', 'pod'])

function planInstance(input: PlanInput): Part {
  const instance = servingInstance(input.desired)
  if (instance === undefined) return planUnserved(input)
  const scene = sceneOf(input, instance)
  const members = scene === null ? planMembers(input, instance) : planCluster(scene)
  const primary = primaryMember(input.observed, instance)
  // prepared once is enough: what is prepared anew, or cannot be, must not hold up what protects the data
  if (primary === null || primary.postgres.preparedVersion === null || instance.initialisedAt === null) return members
  return merge([members, planAgent(input, instance, primary), planBackups(input, instance, primary.postgres)])
}

/** Nothing serves while a restore is under way, and nothing ever will when it has failed. A cluster is made around the restored data. */
function planUnserved(input: PlanInput): Part {
  const { desired } = input
  const adopting = adoptingInstance(desired)
  const scene = adopting === undefined ? null : sceneOf(input, adopting)
  if (scene !== null) return planCluster(scene)
  if (desired.operation !== null) return nothing
  return block('RestoreFailed', 'The data could not be restored; the events of this database say why. Delete it, and restore another backup or time; the source is untouched.')
}

/** Success is observed: after a change the world is looked at again, whoever forgot to ask for it. */
function lookAfterChange(part: Part): Part {
  if (!changesAnything(part)) return part
  const soon = part.actions.length === 0 ? 0 : actionLookMs
  return { ...part, requeueAfterMs: Math.min(part.requeueAfterMs ?? soon, soon) }
}

/** Most actions are seen by the events of their engine before; this is for those that make none. */
const actionLookMs = 1_000

/** At most one disruptive action a pass; then the world is looked at again before the next. */
function oneDisruption(part: Part): Part {
  const first = part.actions.find(isDisruptive)
  const held = part.actions.filter((action: Action) => isDisruptive(action) && action !== first)
  if (held.length === 0) return part
  return {
    ...part,
    actions: part.actions.filter((action) => !held.includes(action)),
    waitingFor: [...part.waitingFor, 'one disruptive change after the other'],
    requeueAfterMs: 0,
  }
}
