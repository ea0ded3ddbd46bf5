/**
 * The server that is made beside a cluster for a downgrade, until it was seen to hold a copy of the data: its volume, and its container,
 * which copies by itself before it starts PostgreSQL. What must hold: nothing is copied before the leader keeps what the copy will need
 * next, and an empty volume is given only as long as no copy was seen.
 */
import { servingInstance, type Instance, type Member } from '../domain/desired.ts'
import { block, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { containerNamed, engineOf, primaryMember } from '../domain/reading.ts'
import { planContainer } from './containers.ts'
import { retire } from './followerParts.ts'
import { planDataVolume } from './members.ts'
import { planSize } from './storage.ts'

const soonMs = 250
/** A copy takes hours of a large database, and its progress is the operation's concern. */
const laterMs = 1_000

/** One that served before an upgrade has its data already. */
export function isBeingCopied({ role, initialisedAt, keptUntil }: Instance): boolean {
  return role === 'rollbackTarget' && initialisedAt === null && keptUntil === null
}

export function planServerCopy(input: PlanInput, instance: Instance): Part {
  const { operation } = input.desired
  if (operation === null) return retire(instance, 'warning', 'DowngradeGivenUp', 'The server that was being made for a downgrade is removed: nobody asks for it any more.')
  if (operation.kind !== 'downgrade' || operation.phase !== 'copying') return nothing
  return merge(instance.members.map((member) => planCopy(input, instance, member)))
}

function planCopy(input: PlanInput, instance: Instance, member: Member): Part {
  const volume = planDataVolume(input, instance, member)
  if (volume !== 'present') return volume
  const size = planSize(input, member)
  const blueprint = input.blueprints.members.get(member.id)
  if (blueprint === undefined) return merge([size, waitFor('the certificate of the new server to be issued', laterMs)])
  const engine = engineOf(input.observed, member.hostId)
  const isThere = engine.known && containerNamed(engine.value, blueprint.name) !== undefined
  const missing = isThere ? null : missingAtSource(input)
  if (missing !== null) return merge([size, waitFor(missing, soonMs)])
  const plan = planContainer(input, blueprint, 'the new server')
  return merge([size, plan.part, plan.running === null ? nothing : planCopied(input, instance, member)])
}

/** What it would be refused for, or could not go on from afterwards. */
function missingAtSource({ desired, observed, blueprints }: PlanInput): string | null {
  const serving = servingInstance(desired)
  const leader = serving === undefined ? null : primaryMember(observed, serving)
  if (leader === null) return 'a member to lead the cluster, to copy from'
  const { slots, configHash } = leader.postgres
  if (configHash !== blueprints.members.get(leader.member.id)?.configHash) return 'the cluster to admit the new server'
  return slots.some(({ name }) => name === followerSlotName) ? null : 'the cluster to keep what the new server will need after its copy'
}

function planCopied({ desired, observed }: PlanInput, instance: Instance, member: Member): Part {
  const seen = observed.postgres.get(member.id)
  if (seen?.known !== true) return waitFor('the data to be copied from the leader', laterMs)
  const { inRecovery, systemIdentifier } = seen.value
  if (!inRecovery || systemIdentifier !== servingInstance(desired)?.systemIdentifier) {
    return block('ForeignData', `The new server (member ${member.id}) does not hold a copy of the cluster. It is left alone; cancel the downgrade, and ask for it again.`)
  }
  return { ...record({ kind: 'instanceInitialised', instanceId: instance.id, systemIdentifier }), requeueAfterMs: 0 }
}
