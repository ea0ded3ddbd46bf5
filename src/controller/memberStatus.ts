/** What the API shows of each member, from what a pass saw. */
import type { Instance } from '../domain/desired.ts'
import type { MemberRole } from '../domain/liveStatus.ts'
import type { PostgresSeen } from '../domain/observed.ts'
import type { PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'
import type { MemberStatus } from '../store/views.ts'

export function memberStatuses({ desired, observed, names }: PlanInput): ReadonlyMap<string, MemberStatus> {
  return new Map(desired.instances.flatMap((instance) => instance.members.map((member): [string, MemberStatus] => {
    const engine = engineOf(observed, member.hostId)
    const container = engine.known ? containerNamed(engine.value, names.member(member.id)) : undefined
    const seen = observed.postgres.get(member.id)
    const postgres = seen?.known === true ? seen.value : null
    return [member.id, {
      role: postgres === null ? null : roleOf(instance, postgres),
      containerId: container?.id ?? null,
      timeline: postgres?.timeline ?? null,
      lagBytes: postgres === null || postgres.inRecovery ? null : 0,
      syncState: null,
    }]
  })))
}

/** Patroni's words for members of a cluster, PostgreSQL's for a server of its own. */
function roleOf({ kind }: Instance, { inRecovery }: PostgresSeen): MemberRole {
  if (kind === 'cluster') return inRecovery ? 'replica' : 'leader'
  return inRecovery ? 'standby' : 'primary'
}
