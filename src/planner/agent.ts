/**
 * The backup agent of a serving instance: it pulls WAL through its own slot and holds the keys of the store.
 * It starts once PostgreSQL is prepared for it, and is no part of what makes a database usable.
 */
import type { Instance } from '../domain/desired.ts'
import { walSlotName } from '../domain/prepared.ts'
import { planContainer } from './containers.ts'
import { act, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { hasWalGap, isOpen, wasSaid, type Primary } from '../domain/reading.ts'

const slotLookMs = 1_000

export function planAgent(input: PlanInput, instance: Instance, primary: Primary): Part {
  const blueprint = input.blueprints.agents.get(instance.id)
  if (blueprint === undefined) return waitFor('the certificate of the backup agent to be issued', slotLookMs)
  const plan = planContainer(input, blueprint, 'the backup agent')
  return merge([plan.part, planLostSlot(input, instance, primary)])
}

/**
 * A slot that fell behind its limit is given up by PostgreSQL: the archive has a gap, and only a backup begun after it
 * closes it. So a backup is asked for first, and the archive begins anew before it starts.
 */
function planLostSlot({ desired }: PlanInput, instance: Instance, { member, postgres }: Primary): Part {
  if (!hasWalGap(postgres)) return nothing
  const told = wasSaid(desired, 'WalArchived', 'WalGap') ? nothing : record(gapNote)
  const open = desired.backups.find((backup) => backup.instanceId === instance.id && isOpen(backup.state))
  if (open === undefined) return merge([told, record({ kind: 'requestBackup', instanceId: instance.id, backup: 'full', trigger: 'scheduled' })])
  // what has begun before the gap does not close it; it ends soon, with or without success
  if (open.state !== 'requested') return merge([told, waitFor('the open backup to end, to begin the archive anew', slotLookMs)])
  return merge([told, act({ kind: 'dropSlot', memberId: member.id, slot: walSlotName }), waitFor('the archive to begin anew', slotLookMs)])
}

const gapNote = {
  kind: 'event',
  note: {
    severity: 'error', reason: 'WalGap',
    message: 'The archive fell so far behind that WAL was given up. A backup is taken now; points in time between the last archived WAL and that backup cannot be restored.',
  },
} as const
