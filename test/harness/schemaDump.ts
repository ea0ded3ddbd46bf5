/**
 * The schema that all migrations together make, as text: `docs/schema.sql`, committed, so that a review sees what a
 * migration does. Run as a program it writes the file; a test compares.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Secret } from '../../src/domain/secret.ts'
import { testDatabase, type TestDatabase } from './controlDatabase.ts'
import { runOnServer } from './controlServer.ts'

export const schemaFile = fileURLToPath(new URL('../../docs/schema.sql', import.meta.url))

const heading = '-- The control database after all migrations. Made by `npm run schema`; do not edit.\n\n'

export async function dumpSchema({ name, url }: Pick<TestDatabase, 'name' | 'url'>): Promise<string> {
  return heading + normalise(await dump(name, url))
}

/** By the server's own pg_dump, which understands every schema that the server has. */
async function dump(name: string, url: Secret): Promise<string> {
  const options = ['--schema-only', '--no-owner', '--no-privileges', '--no-comments']
  if (process.env['HOLDFAST_TEST_DATABASE_URL'] !== undefined) {
    return (await promisify(execFile)('pg_dump', [...options, url.reveal()])).stdout
  }
  return runOnServer(['pg_dump', ...options, '--host', '/tmp', '--username', 'postgres', name])
}

/** Without what differs between versions of pg_dump and from run to run: comments, session settings, psql's commands. */
function normalise(text: string): string {
  const kept = text
    .replaceAll('\r\n', '\n')
    .split('\n')
    .filter((line) => !/^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict )/.test(line))
  return `${kept.join('\n').replaceAll(/\n{3,}/g, '\n\n').trim()}\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const ends: (() => Promise<void>)[] = []
  const database = await testDatabase({ after: (end) => void ends.push(end) })
  await writeFile(schemaFile, await dumpSchema(database))
  for (const end of ends) await end()
}
