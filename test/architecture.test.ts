/** Holds the import table of `.dependency-cruiser.cjs` over `src/`, and shows on a small tree that its rules bite. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'

const root = join(import.meta.dirname, '..')
const cruiseTimeoutMs = 60_000
const maxReportBytes = 50_000_000

const reportSchema = z.object({
  summary: z.object({
    totalCruised: z.number(),
    violations: z.array(z.object({ from: z.string(), to: z.string(), rule: z.object({ name: z.string() }) })),
  }),
})

/** Runs dependency-cruiser over `src` below `directory`, with the rules and the compiler settings found there. */
async function cruise(directory: string): Promise<z.infer<typeof reportSchema>['summary']> {
  const program = join(root, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs')
  const args = [program, 'src', '--config', '.dependency-cruiser.cjs', '--output-type', 'json']
  const report = await new Promise<string>((resolve, reject) => {
    const limits = { cwd: directory, timeout: cruiseTimeoutMs, maxBuffer: maxReportBytes }
    execFile(process.execPath, args, limits, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(`dependency-cruiser said nothing: ${stderr}`, { cause: error }))
      else resolve(stdout)
    })
  })
  return reportSchema.parse(JSON.parse(report)).summary
}

test('imports in src point only where the table of rooms lets them', async () => {
  const { violations, totalCruised } = await cruise(root)
  assert.ok(totalCruised > 50, `only ${String(totalCruised)} modules were looked at`)
  assert.deepEqual(violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`), [])
})

test('each kind of forbidden import is found, with extensions and for types alone, and allowed ones are not', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hf-rooms-'))
  t.after(() => rm(directory, { recursive: true }))
  const forbidden: Readonly<Record<string, string>> = {
    'src/domain/store.ts': "export type { Row } from '../store/row.ts'",
    'src/domain/package.ts': "export { Pool } from 'pg'",
    'src/planner/clock.ts': "export { readFileSync } from 'node:fs'",
    'src/planner/docker.ts': "import type { Engine } from '../clients/engine.ts'\nexport type Mine = Engine",
    'src/api/engine.ts': "export { engine } from '../clients/engine.ts'",
    'src/store/settings.ts': "export { port } from '../config/port.ts'",
    'src/clients/command.ts': "export { run } from '../cli/run.ts'",
    'src/console/page.ts': "export { word } from '../domain/word.ts'",
    'src/utils/odd.ts': "export { word } from '../domain/word.ts'",
    'src/render/lost.ts': "export { nothing } from './nowhere.ts'",
    'src/pki/here.ts': "export { there } from './there.ts'\nexport const here = 1",
    'src/rig/tool.ts': "export { cruise } from 'dependency-cruiser'",
  }
  const allowed: Readonly<Record<string, string>> = {
    'src/domain/word.ts': "import { createHash } from 'node:crypto'\nimport { z } from 'zod'\nexport const word = [createHash, z]",
    'src/clients/engine.ts': "import { word } from '../domain/word.ts'\nexport const engine = word\nexport type { Body } from './body.ts'\nexport type Engine = typeof word",
    // The other half of a circle, which is reported once.
    'src/pki/there.ts': "export { here } from './here.ts'\nexport const there = 1",
    'src/clients/body.ts': "import type { Engine } from './engine.ts'\nexport type Body = Engine",
    'src/store/row.ts': "export type Row = string",
    'src/config.ts': "export { port } from './config/port.ts'",
    'src/config/port.ts': 'export const port = 1',
    'src/cli/run.ts': "import { engine } from '../bootstrap/engine.ts'\nexport const run = engine",
    'src/bootstrap/engine.ts': "export { engine } from '../clients/engine.ts'\nexport { port } from '../config.ts'",
    'src/main.ts': "export { run } from './api/run.ts'\nexport { port } from './config.ts'",
    'src/api/run.ts': "export type { Row } from '../store/row.ts'\nexport const run = 1",
  }
  for (const [path, text] of Object.entries({ ...forbidden, ...allowed })) {
    await mkdir(join(directory, dirname(path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
  for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) await copyFile(join(root, file), join(directory, file))
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const { violations } = await cruise(directory)
  assert.deepEqual([...new Set(violations.map(({ from }) => from))].sort(), Object.keys(forbidden).sort())
})
