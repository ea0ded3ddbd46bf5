/** What the API shows of each member, from what a pass saw. */
import type { PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import type { MemberStatus } from '../store/views.ts'

export function memberStatuses({ desired, observed, names }: PlanInput): ReadonlyMap<string, MemberStatus> {
  const members = desired.instances.flatMap((instance) => instance.members)
  return new Map(members.map((member): [string, MemberStatus] => {
    const engine = engineOf(observed, member.hostId)
    const container = engine.known ? containerNamed(engine.value, names.member(member.id)) : undefined
    const seen = observed.postgres.get(member.id)
    const postgres = seen?.known === true ? seen.value : null
    return [member.id, {
      role: postgres === null ? null : postgres.inRecovery ? 'replica' : 'leader',
      containerId: container?.id ?? null,
      timeline: postgres?.timeline ?? null,
      lagBytes: postgres === null || postgres.inRecovery ? null : 0,
      syncState: null,
    }]
  }))
}
