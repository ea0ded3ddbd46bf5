/** Runs test files with Node's own runner, shows their titles as they end, and counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { finished } from 'node:stream/promises'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 }

export function sum(one: Counts, other: Counts): Counts {
  return { passed: one.passed + other.passed, failed: one.failed + other.failed, skipped: one.skipped + other.skipped }
}

/** A file that hangs is a failure, not a night's wait. */
const usualFileTimeoutMs = 10 * 60_000

/** Each file is a process. Its standard output is part of the report. */
export async function runFiles(files: readonly string[], concurrency: number, signal: AbortSignal, fileTimeoutMs = usualFileTimeoutMs): Promise<Counts> {
  if (files.length === 0) return noCounts
  let counts: Counts | null = null
  const events = run({ files: [...files], concurrency, timeout: fileTimeoutMs, signal })
  events.on('test:summary', ({ file, counts: { tests, passed, skipped, todo } }) => {
    // the one that names no file is the sum
    if (file === undefined) counts = { passed, failed: tests - passed - skipped - todo, skipped: skipped + todo }
  })
  const shown = events.compose(spec)
  shown.pipe(process.stdout, { end: false })
  await finished(shown)
  return counts ?? { ...noCounts, failed: 1 }
}

/** A command that is one test: passed when it ends with 0. */
export async function runProgram(argv: readonly string[], cwd: string, signal: AbortSignal): Promise<Counts> {
  const child = spawn(process.execPath, argv, { cwd, stdio: ['ignore', 'inherit', 'inherit'], signal })
  const [code] = await once(child, 'close').catch((): [number] => [1])
  return code === 0 ? { ...noCounts, passed: 1 } : { ...noCounts, failed: 1 }
}
