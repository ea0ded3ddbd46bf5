/**
 * `plan(desired, observed, now) → actions`: pure, the same input gives the same plan. It joins the concerns, lets at
 * most one disruptive action through, and says what it waits for.
 */
import { isDisruptive, type Action, type Plan } from '../domain/action.ts'
import { servingInstance } from '../domain/desired.ts'
import { planAgent } from './agent.ts'
import { planBackups, planFinishedJobs } from './backups.ts'
import { planCertificates } from './certificates.ts'
import { planConditions } from './conditions.ts'
import { currentFinalizer, planBackupsGone, planContainersGone, planFinalBackup, planVolumesGone } from './deletion.ts'
import { planEndpoint } from './endpoint.ts'
import { planMembers } from './members.ts'
import { planNetworks } from './networks.ts'
import { isSettled, merge, nothing, type Part, type PlanInput } from '../domain/part.ts'
import { primaryOf } from '../domain/reading.ts'

/** `extra` is what an unfinished operation decided for this pass. */
export function plan(input: PlanInput, extra: Part = nothing): Plan {
  const wanted = merge([extra, planDatabase(input)])
  const part = input.desired.database.paused ? { ...nothing, blocked: wanted.blocked } : oneDisruption(wanted)
  return {
    actions: part.actions,
    records: part.records,
    conditions: planConditions(input, part),
    settled: isSettled(part) && !input.desired.database.paused,
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
  const shared = [planCertificates(input), planNetworks(input), planFinishedJobs(input)]
  // a container cannot join a network that is not there yet
  if (shared.some((part) => part.actions.some((action) => action.kind === 'createNetwork'))) return merge(shared)
  const instance = servingInstance(input.desired)
  const endpoint = planEndpoint(input)
  if (instance === undefined) return merge([...shared, endpoint])
  const members = planMembers(input, instance)
  const primary = primaryOf(input.observed, instance)
  const isPrepared = primary !== null && !members.actions.some((action) => action.kind === 'prepareDatabase')
  const protection = isPrepared && instance.initialisedAt !== null
    ? [planAgent(input, instance, primary), planBackups(input, instance)]
    : []
  return merge([...shared, members, endpoint, ...protection])
}

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
