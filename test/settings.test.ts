import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { describeSettings } from '../src/config.ts'

const path = new URL('../docs/settings.md', import.meta.url)
const head = `# Settings

By environment, or in the YAML file that \`HOLDFAST_CONFIG\` names (dots are levels there); the environment wins. Every mistake is
told at start, all at once, and nothing starts with one. This table is made from the schema in \`src/config/schema.ts\`.

`

test('docs/settings.md lists every setting as the schema has it', async () => {
  const expected = head + describeSettings()
  if (process.env['UPDATE_DOCS'] !== undefined) await writeFile(path, expected)
  assert.equal(await readFile(path, 'utf8'), expected, 'write it anew with UPDATE_DOCS=1')
})
