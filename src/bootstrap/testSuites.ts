/**
 * What `npm test` runs, in this order: what fails quickest first. A test file belongs to the suite of its folder, and a folder
 * that is not named here is a unit test's, so that no file is ever forgotten.
 */
import { glob } from 'node:fs/promises'
import { join } from 'node:path'

export const suiteNames = ['typecheck', 'lint', 'unit', 'engine', 'e2e', 'faults'] as const
export type SuiteName = (typeof suiteNames)[number]
export type TestSuiteName = Exclude<SuiteName, 'typecheck' | 'lint'>

export const suiteTitles: Readonly<Record<SuiteName, string>> = {
  typecheck: 'Types', lint: 'Lint', unit: 'Units and architecture',
  engine: 'Parts on the real engine and control database', e2e: 'The whole service', faults: 'A sample of the faults',
}

/** Folders whose tests need an engine: each of their files makes what it needs and takes it away. */
const engineFolders = ['api', 'cluster', 'store', 'executor', 'observer', 'clients', 'bootstrap']
/** Not part of `npm test`, except for the samples. */
const elsewhere = ['faults', 'chaos', 'bench', 'harness']
const samples: readonly string[] = ['test/faults/sample.test.ts', 'test/faults/haSample.test.ts']
/** These stop the shared service, or look back over all that it did: one after the other, when the others have ended. */
const last = 'test/e2e/last/'

/** Two clusters on one small machine, or an installation beside another, slow each other down until their own limits end them. */
const alone: readonly string[] = ['cluster', 'demo', 'downgrade', 'rehearsal', 'upgrade'].map((name) => `test/e2e/${name}.test.ts`)

/** Sorted, in groups: one group after the other. */
export async function groupsOf(root: string, suite: TestSuiteName): Promise<readonly { readonly files: readonly string[]; readonly concurrency: number }[]> {
  const files = await filesOf(root, suite)
  const isLast = (file: string): boolean => file.startsWith(join(root, last))
  const isAlone = (file: string): boolean => alone.some((one) => file === join(root, one))
  // those of faults measure, and each has a service of its own
  const concurrency = suite === 'faults' ? 1 : 2
  return [
    { files: files.filter((file) => !isLast(file) && !isAlone(file)), concurrency },
    { files: files.filter(isAlone), concurrency: 1 },
    { files: files.filter(isLast), concurrency: 1 },
  ]
}

/** Paths below `root`, sorted. */
async function filesOf(root: string, suite: TestSuiteName): Promise<readonly string[]> {
  const files: string[] = []
  for await (const file of glob('test/**/*.test.ts', { cwd: root })) if (suiteOf(file) === suite) files.push(join(root, file))
  return files.sort()
}

export function suiteOf(file: string): TestSuiteName | null {
  if (samples.includes(file)) return 'faults'
  const isIn = (folder: string): boolean => file.startsWith(`test/${folder}/`)
  if (elsewhere.some(isIn)) return null
  if (engineFolders.some(isIn)) return 'engine'
  return isIn('e2e') ? 'e2e' : 'unit'
}
