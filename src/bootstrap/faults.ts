/** `npm run test:faults -- SUITE…`: the long fault tests, with the same set-up and the same leak check as `npm test`. */
import { access, glob } from 'node:fs/promises'
import { join } from 'node:path'
import { runFaults } from './test.ts'

const root = join(import.meta.dirname, '..', '..')

async function main(suites: readonly string[]): Promise<number> {
  const files = suites.map((suite) => join(root, 'test/faults', `${suite}.test.ts`))
  const missing = await Promise.all(files.map((file) => access(file).then(() => false, () => true)))
  if (files.length > 0 && !missing.includes(true)) return runFaults(files)
  const known: string[] = []
  for await (const file of glob('*.test.ts', { cwd: join(root, 'test/faults') })) known.push(file.replace('.test.ts', ''))
  process.stderr.write(`usage: npm run test:faults -- SUITE…, of ${known.sort().join(', ')}\n`)
  return 2
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
