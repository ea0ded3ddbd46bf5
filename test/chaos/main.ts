/** `npm run test:chaos -- --minutes N [--seed S] [--json]`: what contracts promise of it is in report.ts. */
import { parseArgs } from 'node:util'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { seededRandom } from '../faults/random.ts'
import type { Endings } from '../harness/endings.ts'
import { exitCode, exitCodeOf, type ChaosReport } from './report.ts'
import { runChaos } from './run.ts'

const usage = 'usage: npm run test:chaos -- --minutes N [--seed S] [--json]\n'
const mostMinutes = 24 * 60

async function main(argv: readonly string[]): Promise<number> {
  const options = optionsIn(argv)
  if (options === null) {
    process.stderr.write(usage)
    return exitCode.wrongUsage
  }
  const { minutes, json } = options
  const random = seededRandom(options.seed)
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  say(`seed ${random.seed}, ${minutes} minutes`)
  const told = new AbortController()
  // what was made is taken away before the end
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => told.abort())
  const ends: (() => Promise<void>)[] = []
  const ending: Endings = { after: (end) => void ends.push(end) }
  let report: ChaosReport | null = null
  let failure: unknown = null
  try {
    report = await runChaos({ minutes, random, say, told: told.signal }, ending)
  } catch (error) {
    failure = error
    say(error instanceof Error ? error.stack ?? error.message : String(error))
  }
  for (const end of ends.reverse()) await end().catch((error: unknown) => say(`not everything could be taken away: ${String(error)}`))
  if (report === null) {
    process.stdout.write(`${JSON.stringify({ ...empty, seed: random.seed, minutes, unhealed: [String(failure)] })}\n`)
    return isHoldfastError(failure) && failure.code === 'EngineMissing' ? exitCode.unfit : exitCode.failed
  }
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : textOf(report))
  return exitCodeOf(report)
}

const empty: ChaosReport = {
  schema: 'holdfast.chaos/1', seed: 0, minutes: 0, ok: false, faults: [], acked: 0, lost: 0, doubleWriters: [], unhealed: [], leaks: [],
  anomalies: [], staleReads: 0, warned: 0, errors: {},
}

function optionsIn(argv: readonly string[]): { readonly minutes: number; readonly seed: string | undefined; readonly json: boolean } | null {
  try {
    const { values } = parseArgs({ args: [...argv], options: { minutes: { type: 'string' }, seed: { type: 'string' }, json: { type: 'boolean', default: false } } })
    const minutes = Number(values.minutes)
    const isSeed = values.seed === undefined || Number.isSafeInteger(Number(values.seed))
    return minutes > 0 && minutes <= mostMinutes && isSeed ? { minutes, seed: values.seed, json: values.json } : null
  } catch {
    // an argument that is not known
    return null
  }
}

function textOf({ seed, faults, acked, lost, doubleWriters, anomalies, staleReads, unhealed, leaks, ok }: ChaosReport): string {
  return `seed ${seed}: ${faults.length} faults, ${acked} acknowledged, ${lost} lost, ${doubleWriters.length} double writers, ${anomalies.length} anomalies, `
    + `${staleReads} stale reads, ${unhealed.length} not healed, ${leaks.length} left behind: ${ok ? 'ok' : 'NOT OK'}\n`
}

process.exitCode = await main(process.argv.slice(2))
