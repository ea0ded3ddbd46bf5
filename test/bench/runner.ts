/**
 * Runs the experiments of one benchmark and keeps their results. A run goes on where the last one was stopped: it measures
 * the cases that its file lacks, or all of them anew when none is missing. One that is named is always measured.
 */
import { cpus, totalmem } from 'node:os'
import { describeError } from '../../src/domain/errors.ts'
import { loadReport, resultOf, saveReport, schemaName, withResults, type CaseResult, type Machine, type Report, type Seen, type Series } from './report.ts'

/** One thing that is done once a run. */
export interface Experiment<Rig> {
  readonly series: readonly Series[]
  /** At most so many runs: of what is only there to be compared with. */
  readonly mostRuns?: number
  sample(rig: Rig, say: Say): Promise<Sample>
  /** Where a goal follows from what else was measured. */
  judge?(results: readonly CaseResult[]): readonly CaseResult[]
}

export interface Sample {
  /** One for each series of the experiment, in their order. */
  readonly numbers: readonly number[]
  /** Likewise, where customers were at work. */
  readonly seen?: readonly Seen[]
}

export type Say = (line: string) => void

export interface Bench<Rig> {
  readonly name: string
  readonly experiments: readonly Experiment<Rig>[]
  /** Everything that the experiments stand on, its own, and swept by `close`. */
  open(say: Say): Promise<Rig>
  close(rig: Rig): Promise<void>
  /** The engine's name and version. */
  engineOf(rig: Rig): Promise<string>
}

export interface RunOptions {
  readonly json: boolean
  readonly runs: number | null
  readonly case: string | null
  readonly check: boolean
}

const defaultRuns = 5
/** As promised to who calls: wrong usage, failed, goal missed, data lost. */
const exit = { ok: 0, failed: 1, wrongUsage: 2, goalMissed: 4, dataLost: 5 } as const

export async function runBench<Rig>(bench: Bench<Rig>, options: RunOptions): Promise<number> {
  const say: Say = (line) => process.stderr.write(`${line}\n`)
  const known = casesOf(bench.experiments)
  if (options.case !== null && !known.includes(options.case)) {
    say(`There is no case ${options.case}; ${bench.name} has ${known.join(', ')}.`)
    return exit.wrongUsage
  }
  const told = new AbortController()
  // what was started is swept before the end; the cases measured so far are kept
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => told.abort(new Error('It was told to stop; the next run goes on with the cases that are missing.')))
  const { report, failure } = await measure(bench, options, say, told.signal)
  if (failure !== null) say(failure instanceof Error ? failure.stack ?? failure.message : describeError(failure))
  show(report, options.json)
  return exitCodeOf(report, options)
}

async function measure<Rig>(bench: Bench<Rig>, options: RunOptions, say: Say, told: AbortSignal): Promise<{ readonly report: Report; readonly failure: unknown }> {
  const kept = await loadReport(bench.name)
  let report: Report = kept ?? { schema: schemaName, bench: bench.name, machine: { cores: 0, memoryBytes: 0, engine: '' }, ok: false, cases: [] }
  try {
    const rig = await bench.open(say)
    try {
      const machine: Machine = { cores: cpus().length, memoryBytes: totalmem(), engine: await bench.engineOf(rig) }
      const due = dueExperiments(bench, kept, machine, options.case)
      const isAnew = options.case === null && due.length === bench.experiments.length
      report = { ...report, machine, ok: false, cases: isAnew ? [] : report.cases }
      for (const experiment of due) {
        report = withResults(report, await repeat(experiment, rig, options.runs ?? defaultRuns, say, told))
        await saveReport(report)
      }
    } finally {
      await bench.close(rig)
    }
    report = { ...report, ok: true }
    await saveReport(report)
    return { report, failure: null }
  } catch (failure) {
    return { report: { ...report, ok: false }, failure }
  }
}

/** What an older machine measured says nothing about this one. */
function dueExperiments<Rig>(bench: Bench<Rig>, kept: Report | null, machine: Machine, only: string | null): readonly Experiment<Rig>[] {
  if (only !== null) return bench.experiments.filter(({ series }) => series.some((one) => one.case === only))
  const isSameMachine = kept !== null && kept.machine.cores === machine.cores && kept.machine.memoryBytes === machine.memoryBytes
  const has = (one: Series): boolean => isSameMachine && kept.cases.some((result) => result.case === one.case && result.variant === one.variant)
  const missing = bench.experiments.filter(({ series }) => !series.every(has))
  return missing.length === 0 ? bench.experiments : missing
}

async function repeat<Rig>(experiment: Experiment<Rig>, rig: Rig, runs: number, say: Say, told: AbortSignal): Promise<readonly CaseResult[]> {
  const samples: number[][] = experiment.series.map(() => [])
  const all: Seen[][] = experiment.series.map(() => [])
  const count = Math.min(runs, experiment.mostRuns ?? runs)
  for (let run = 1; run <= count; run += 1) {
    told.throwIfAborted()
    const { numbers, seen } = await experiment.sample(rig, say)
    seen?.forEach((one, index) => all[index]?.push(one))
    numbers.forEach((number, index) => samples[index]?.push(number))
    say(`run ${run} of ${count}: ${experiment.series.map((one, index) => `${one.case} (${one.variant}) ${(numbers[index] ?? NaN).toFixed(2)} ${one.unit}`).join(', ')}`)
  }
  const results = experiment.series.map((one, index) => resultOf(one, samples[index] ?? [], all[index]))
  return experiment.judge?.(results) ?? results
}

function casesOf<Rig>(experiments: readonly Experiment<Rig>[]): string[] {
  return [...new Set(experiments.flatMap(({ series }) => series.map((one) => one.case)))]
}

function show(report: Report, json: boolean): void {
  const lines = report.cases.map((one) => {
    const goal = one.goal.median ?? one.goal.max
    const verdict = goal === null ? '' : `, goal ${goal}: ${one.met ? 'met' : 'missed'}`
    return `${one.case} (${one.variant}): median ${one.median} ${one.unit}, ${one.min} to ${one.max}${verdict}`
  })
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${lines.join('\n')}\n`)
}

function exitCodeOf({ ok, cases }: Report, { check }: RunOptions): number {
  if (cases.some(({ lost, doubleWriters }) => lost > 0 || doubleWriters > 0)) return exit.dataLost
  if (!ok) return exit.failed
  return check && cases.some(({ met }) => !met) ? exit.goalMissed : exit.ok
}
