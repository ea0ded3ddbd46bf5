/** Runs one benchmark: `main.ts BENCH [--json] [--runs N] [--case NAME] [--check]`. Each is a file of that name beside this one. */
import { parseArgs } from 'node:util'
import type { RunOptions } from './runner.ts'

type Run = (options: RunOptions) => Promise<number>

/** Loaded only when it is asked for: each brings clients of its own. */
const benches: Readonly<Record<string, () => Promise<{ readonly run: Run }>>> = {
  cutover: () => import('./cutover.ts'),
  endpoint: () => import('./endpoint.ts'),
  failover: () => import('./failover.ts'),
  provision: () => import('./provision.ts'),
  reconcile: () => import('./reconcile.ts'),
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv], allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, runs: { type: 'string' }, case: { type: 'string' }, check: { type: 'boolean', default: false } },
  })
  const [name = ''] = positionals
  const load = Object.hasOwn(benches, name) ? benches[name] : undefined
  if (load === undefined) {
    process.stderr.write(`There is no benchmark ${name || 'without a name'} in this version; there are ${Object.keys(benches).join(', ')}.\n`)
    return 2
  }
  const { run } = await load()
  const runs = values.runs === undefined ? null : Number(values.runs)
  return run({ json: values.json, runs, case: values.case ?? null, check: values.check })
}

process.exitCode = await main(process.argv.slice(2))
