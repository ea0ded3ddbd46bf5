/** The tier's backup schedule, with what the settings put in its place. */
import { tiers, type Tier, type TierName } from '../domain/tiers.ts'

export interface ScheduleSettings {
  readonly fullSchedule?: string | undefined
  readonly incrementalSchedule?: string | undefined
}

export function scheduleOf({ fullSchedule, incrementalSchedule }: ScheduleSettings): (tier: TierName) => Tier['backups'] {
  return (tier) => {
    const own = tiers[tier].backups
    return { ...own, full: fullSchedule ?? own.full, incremental: incrementalSchedule ?? own.incremental }
  }
}
