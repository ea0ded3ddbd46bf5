/**
 * The form in which a benchmark answers, and the file that keeps it: one object a benchmark, written after every case,
 * so that a run that was stopped goes on with the cases that are missing.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

export const schemaName = 'holdfast.bench/1'

const goalSchema = z.object({ median: z.number().nullable(), max: z.number().nullable() })
export type Goal = z.infer<typeof goalSchema>

const caseSchema = z.object({
  case: z.string(),
  /** `holdfast`, or what it is compared with. */
  variant: z.enum(['holdfast', 'plain', 'byHand', 'direct']),
  unit: z.string(),
  samples: z.array(z.number()),
  min: z.number(),
  median: z.number(),
  max: z.number(),
  goal: goalSchema,
  met: z.boolean(),
  /** Of cases in which a customer writes meanwhile. */
  acked: z.number(),
  lost: z.number(),
  doubleWriters: z.number(),
  errors: z.record(z.string(), z.number()),
})
export type CaseResult = z.infer<typeof caseSchema>

const machineSchema = z.object({ cores: z.number(), memoryBytes: z.number(), engine: z.string() })
export type Machine = z.infer<typeof machineSchema>

export const reportSchema = z.object({
  schema: z.literal(schemaName), bench: z.string(), machine: machineSchema, ok: z.boolean(), cases: z.array(caseSchema),
})
export type Report = z.infer<typeof reportSchema>

/** What one series of a case measures. */
export interface Series {
  readonly case: string
  readonly variant: CaseResult['variant']
  readonly unit: string
  readonly goal: Goal
}

/** What a customer who wrote meanwhile, and the observers of each member, saw. */
export interface Seen {
  readonly acked: number
  readonly lost: number
  readonly doubleWriters: number
  readonly errors: Readonly<Record<string, number>>
}

export function resultOf(series: Series, samples: readonly number[], seen: readonly Seen[] = []): CaseResult {
  const rounded = samples.map((sample) => Math.round(sample * 100) / 100)
  const sorted = rounded.toSorted((left, right) => left - right)
  const [min = 0, max = 0, median] = [sorted[0], sorted.at(-1), medianOf(sorted)]
  const { goal } = series
  const met = samples.length > 0 && (goal.median === null || median <= goal.median) && (goal.max === null || max <= goal.max)
  return { ...series, samples: rounded, min, median, max, met, ...sumOf(seen) }
}

function sumOf(seen: readonly Seen[]): Pick<CaseResult, 'acked' | 'lost' | 'doubleWriters' | 'errors'> {
  const errors: Record<string, number> = {}
  for (const [code, count] of seen.flatMap((one) => Object.entries(one.errors))) errors[code] = (errors[code] ?? 0) + count
  const sum = (of: (one: Seen) => number): number => seen.reduce((total, one) => total + of(one), 0)
  return { acked: sum((one) => one.acked), lost: sum((one) => one.lost), doubleWriters: sum((one) => one.doubleWriters), errors }
}

/** Of numbers in order; the mean of the two in the middle when there is no single one. */
function medianOf(sorted: readonly number[]): number {
  const low = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  const high = sorted[Math.ceil((sorted.length - 1) / 2)] ?? 0
  return Math.round((low + high) * 50) / 100
}

/** Replaces the series of the same case and variant. */
export function withResults(report: Report, results: readonly CaseResult[]): Report {
  const isNew = (old: CaseResult): boolean => results.some((one) => one.case === old.case && one.variant === old.variant)
  return { ...report, cases: [...report.cases.filter((old) => !isNew(old)), ...results] }
}

const resultsFolder = join(import.meta.dirname, 'results')

/** Null when there is none, or none that can be read: it is made anew then. */
export async function loadReport(bench: string, folder = resultsFolder): Promise<Report | null> {
  const text = await readFile(join(folder, `${bench}.json`), 'utf8').catch(() => null)
  if (text === null) return null
  try {
    return reportSchema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** Under another name first: a reader, or the next run, never meets half a file. */
export async function saveReport(report: Report, folder = resultsFolder): Promise<void> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${report.bench}.json`)
  await writeFile(`${path}.new`, `${JSON.stringify(report, null, 2)}\n`)
  await rename(`${path}.new`, path)
}
