/**
 * `npm test`: sets up what the tests need, runs every suite (or those named as arguments), and fails when anything of this run is
 * left on the engine. Standard output is the report; its last line says how many passed and failed.
 * Exit codes: 0 all passed, 1 something failed, 2 no such suite, 3 the machine is unfit.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeError, isHoldfastError } from '../domain/errors.ts'
import type { Engine } from './engine.ts'
import { noCounts, runFiles, runProgram, sum, type Counts } from './testFiles.ts'
import { newTestRun } from './testRuns.ts'
import { startTestService } from './testService.ts'
import { cleanUp, setUp } from './testSetUp.ts'
import { groupsOf, suiteNames, suiteTitles, type SuiteName, type TestSuiteName } from './testSuites.ts'

const root = join(import.meta.dirname, '..', '..')
/** More than the whole may take on the slowest machine it is meant for; CI's own limit is longer. */
const runTimeoutMs = 60 * 60_000
/** The longest suite of faults kills a controller at every step of five stories. */
const faultFileTimeoutMs = 45 * 60_000

async function main(args: readonly string[]): Promise<number> {
  const wanted = suiteNames.filter((name) => args.length === 0 || args.includes(name))
  const unknown = args.filter((arg) => !suiteNames.some((name) => name === arg))
  if (unknown.length > 0) {
    process.stderr.write(`There is no suite ${unknown.join(', ')}; there are ${suiteNames.join(', ')}.\n`)
    return 2
  }
  const needsEngine = wanted.some((name) => name === 'engine' || name === 'e2e' || name === 'faults')
  return testRun({ needsEngine, runTimeoutMs, stages: wanted.map((name) => ({ title: suiteTitles[name], run: (signal) => runSuite(name, signal) })) })
}

/** One after the other, as they may all want the machine for themselves. */
export function runFaults(files: readonly string[]): Promise<number> {
  const stage: Stage = { title: 'Faults', run: (signal) => runFiles(files, 1, signal, faultFileTimeoutMs) }
  return testRun({ needsEngine: true, runTimeoutMs: files.length * faultFileTimeoutMs, stages: [stage] })
}

interface TestRun {
  readonly needsEngine: boolean
  readonly runTimeoutMs: number
  readonly stages: readonly Stage[]
}

interface Stage {
  readonly title: string
  readonly run: (signal: AbortSignal) => Promise<Counts>
}

async function testRun({ needsEngine, runTimeoutMs: limitMs, stages }: TestRun): Promise<number> {
  const run = newTestRun()
  const folder = await prepareEnvironment(run)
  try {
    const engine = needsEngine ? await timed('Set-up', () => setUp(say)) : null
    const signal = AbortSignal.timeout(limitMs)
    let counts = noCounts
    for (const stage of stages) counts = sum(counts, await timed(stage.title, () => stage.run(signal)))
    counts = sum(counts, await leakCheck(engine, run))
    if (counts.skipped > 0) say(`${counts.skipped} skipped`)
    process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`)
    return counts.failed === 0 ? 0 : 1
  } catch (error) {
    process.stderr.write(`${describeError(error)}${isHoldfastError(error) && error.next !== undefined ? `. ${error.next}` : ''}\n`)
    return isHoldfastError(error) && error.code === 'EngineMissing' ? 3 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Settings of a developer's own installation must not reach the tests. */
async function prepareEnvironment(run: string): Promise<string> {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('HOLDFAST_') && !name.startsWith('HOLDFAST_TEST_')) delete process.env[name]
  }
  const folder = await mkdtemp(join(tmpdir(), 'hft-'))
  process.env['HFT_RUN'] = run
  process.env['HFT_FOLDER'] = folder
  return folder
}

async function runSuite(name: SuiteName, signal: AbortSignal): Promise<Counts> {
  switch (name) {
    case 'typecheck':
      return runProgram(['node_modules/typescript/bin/tsc', '-p', '.'], root, signal)
    case 'lint':
      return runProgram(['node_modules/eslint/bin/eslint.js', 'src', 'test'], root, signal)
    case 'unit':
    case 'engine':
    case 'faults':
      return runGroups(name, signal)
    case 'e2e':
      return runWithService(signal)
  }
}

async function runGroups(name: TestSuiteName, signal: AbortSignal): Promise<Counts> {
  let counts = noCounts
  for (const { files, concurrency } of await groupsOf(root, name)) counts = sum(counts, await runFiles(files, concurrency, signal))
  return counts
}

async function runWithService(signal: AbortSignal): Promise<Counts> {
  const service = await startTestService(root)
  if (service === null) {
    say('The service for the tests did not start.')
    return { ...noCounts, failed: 1 }
  }
  process.env['HFT_SERVICE'] = service.description
  const counts = await runGroups('e2e', signal)
  // what runs later has to start its own
  delete process.env['HFT_SERVICE']
  if (await service.stop()) return sum(counts, { ...noCounts, passed: 1 })
  say('The service for the tests did not go down in order.')
  return sum(counts, { ...noCounts, failed: 1 })
}

async function leakCheck(engine: Engine | null, run: string): Promise<Counts> {
  if (engine === null) return noCounts
  const left = await timed('Nothing is left behind', () => cleanUp(engine, run))
  for (const one of left) say(`left behind: ${one}`)
  return { ...noCounts, ...(left.length === 0 ? { passed: 1 } : { failed: 1 }) }
}

async function timed<T>(title: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  say(`\n== ${title}`)
  const result = await work()
  say(`== ${title}: ${((performance.now() - began) / 1_000).toFixed(1)} s`)
  return result
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
