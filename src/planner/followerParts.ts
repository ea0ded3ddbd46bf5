/** What every instance beside the serving one has in common. */
import type { EventNote } from '../domain/action.ts'
import { servingInstance, type Instance } from '../domain/desired.ts'
import { formatLsn, walSegmentBytes } from '../domain/lsn.ts'
import { act, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { followerSlotName, walSlotName } from '../domain/prepared.ts'
import { containerNamed, engineOf, primaryMember, slotPosition } from '../domain/reading.ts'

const soonMs = 250

export function retire({ id }: Instance, severity: EventNote['severity'], reason: string, message: string): Part {
  return { ...record({ kind: 'instanceRole', instanceId: id, role: 'retired' }, { kind: 'event', note: { severity, reason, message } }), requeueAfterMs: 0 }
}

/**
 * What a follower holds back for the backup agent of its own time is as much as the agent of the serving instance still has to ship: no
 * less, so that nothing is missing in the archive should it serve again, and hardly more, so that its disk does not fill.
 */
export function planSlots({ desired, observed }: PlanInput, instance: Instance): Part {
  const serving = servingInstance(desired)
  const primary = serving === undefined ? null : primaryMember(observed, serving)
  const shipped = primary === null ? null : slotPosition(primary.postgres, walSlotName)
  return merge(instance.members.map(({ id }) => {
    const seen = observed.postgres.get(id)
    if (seen?.known !== true || !seen.value.inRecovery) return nothing
    const has = (slot: string): boolean => seen.value.slots.some(({ name, active }) => name === slot && (!active || slot === walSlotName))
    // a copy has none of its source's slots; those of a cluster are Patroni's concern
    const made = instance.kind === 'standalone' && !has(walSlotName) ? act({ kind: 'makeSlot', memberId: id, slot: walSlotName }) : nothing
    // from the other direction: nobody follows a follower
    const left = has(followerSlotName) ? act({ kind: 'dropSlot', memberId: id, slot: followerSlotName }) : nothing
    const held = slotPosition(seen.value, walSlotName)
    const isBehind = held !== null && shipped !== null && held + BigInt(walSegmentBytes) < shipped
    return merge([made, left, isBehind ? act({ kind: 'advanceSlot', memberId: id, slot: walSlotName, lsn: formatLsn(shipped) }) : nothing])
  }))
}

/** Its lineage of backups belongs to the cluster now, whose own agent goes on with it. */
export function agentGone({ names, observed }: PlanInput, instance: Instance): Part {
  return merge(instance.members.map(({ hostId }) => {
    const engine = engineOf(observed, hostId)
    const agent = engine.known ? containerNamed(engine.value, names.agent(instance.id)) : undefined
    return agent === undefined ? nothing : merge([act({ kind: 'removeContainer', hostId, containerId: agent.id, name: agent.name }), waitFor('the former backup agent to be gone', soonMs)])
  }))
}
