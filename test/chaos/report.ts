/** What a chaos run answers with, and the code that it ends with. */
import type { Anomaly } from '../harness/ha/anomalies.ts'
import type { DoubleWriter } from '../harness/ha/twoWriters.ts'
import type { Findings } from '../harness/ha/watch.ts'

export interface StruckFault {
  readonly atMs: number
  readonly kind: string
  readonly target: string
  /** From the strike until the cluster was whole again; null: it never was within the limit. */
  readonly healedMs: number | null
}

export interface ChaosReport {
  readonly schema: 'holdfast.chaos/1'
  readonly seed: number
  readonly minutes: number
  readonly ok: boolean
  readonly faults: readonly StruckFault[]
  readonly acked: number
  readonly lost: number
  readonly doubleWriters: readonly DoubleWriter[]
  readonly unhealed: readonly string[]
  readonly leaks: readonly string[]
  /** Of the list-append history. */
  readonly anomalies: readonly Anomaly[]
  /** Reads of a former leader that did not yet know it: late, never wrong. */
  readonly staleReads: number
  /** Acknowledged with a warning: neither acknowledged nor lost. */
  readonly warned: number
  readonly errors: Readonly<Record<string, number>>
}

export const exitCode = { ok: 0, failed: 1, wrongUsage: 2, unfit: 3, dataLost: 5 } as const

export interface Course {
  readonly seed: number
  readonly minutes: number
  readonly faults: readonly StruckFault[]
  readonly unhealed: readonly string[]
  readonly leaks: readonly string[]
  readonly findings: Findings
}

export function reportOf({ findings, ...course }: Course): ChaosReport {
  const { acked, lost, warned, errors, doubleWriters } = findings
  const anomalies = findings.anomalies.filter(({ kind }) => kind !== 'staleRead')
  const staleReads = findings.anomalies.length - anomalies.length
  const ok = lost === 0 && doubleWriters.length === 0 && anomalies.length === 0 && course.unhealed.length === 0 && course.leaks.length === 0
  return { schema: 'holdfast.chaos/1', ...course, ok, acked, lost, doubleWriters, anomalies, staleReads, warned, errors }
}

export function exitCodeOf({ ok, lost, doubleWriters, anomalies }: ChaosReport): number {
  if (lost > 0 || doubleWriters.length > 0 || anomalies.length > 0) return exitCode.dataLost
  return ok ? exitCode.ok : exitCode.failed
}
