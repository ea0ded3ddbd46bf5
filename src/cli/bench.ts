/** `holdfast bench`: hands over to test/bench, which needs what is installed for development only, in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { BenchOptions } from './localCommand.ts'
import { exitCode, Unfit } from './usage.ts'

const program = fileURLToPath(new URL('../../test/bench/main.ts', import.meta.url))

export async function run(options: BenchOptions): Promise<number> {
  if (!existsSync(program)) throw new Unfit('The benchmarks are not part of this installation.', 'Run them in a clone of the repository.')
  const child = spawn(process.execPath, [program, ...argumentsFor(options)], { stdio: 'inherit' })
  // an interrupt at the terminal reaches the benchmark by itself, which sweeps before it ends; ours is to wait
  const handOn = (signal: NodeJS.Signals): void => void (signal === 'SIGTERM' && child.kill(signal))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, handOn)
  const [code, signal] = await once(child, 'close') as [number | null, NodeJS.Signals | null]
  return code ?? (signal === null ? exitCode.failed : 128 + constants.signals[signal])
}

function argumentsFor({ bench, json, runs, case: name, check }: BenchOptions): string[] {
  return [
    bench, ...(json ? ['--json'] : []), ...(runs === null ? [] : ['--runs', String(runs)]),
    ...(name === null ? [] : ['--case', name]), ...(check ? ['--check'] : []),
  ]
}
