/** Conditions: the public answer to "how is my database". Phases are private; these are not. */

export const conditionTypes = [
  'Ready', 'PrimaryAvailable', 'ReplicationHealthy', 'RollbackReady', 'EndpointAvailable', 'BackupsHealthy', 'WalArchived', 'StorageAvailable',
  'CertificatesValid', 'Progressing', 'Paused', 'DataMissing',
] as const
export type ConditionType = (typeof conditionTypes)[number]

export type ConditionStatus = 'true' | 'false' | 'unknown'

export interface ConditionClaim {
  readonly type: ConditionType
  readonly status: ConditionStatus
  /** One CamelCase word that programs may compare. */
  readonly reason: string
  /** A sentence for people: what, which, why, and what happens next. */
  readonly message: string
}

export interface Condition extends ConditionClaim {
  /** When `status` last changed. */
  readonly changedAt: Date
}

export function claim(type: ConditionType, status: ConditionStatus, reason: string, message: string): ConditionClaim {
  return { type, status, reason, message }
}

/** Puts new claims over old conditions; the time of a change moves only with the status. */
export function mergeConditions(old: readonly Condition[], claims: readonly ConditionClaim[], now: Date): Condition[] {
  return claims.map((next) => {
    const before = old.find((condition) => condition.type === next.type)
    const changedAt = before !== undefined && before.status === next.status ? before.changedAt : now
    return { ...next, changedAt }
  })
}
