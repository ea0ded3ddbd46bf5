/**
 * `holdfast demo`: from a bare machine to databases that were written to, backed up, restored, compared, made highly available and back,
 * and are left running. A second run keeps the installation and replaces the databases of the project `demo`.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient, type HoldfastClient } from '../client/client.ts'
import type { Database } from '../client/schema.ts'
import { loadConfig, type Config } from '../config.ts'
import type { DemoContext, LoginOf } from './demoContext.ts'
import { demoSteps } from './demoSteps.ts'
import type { DemoOptions } from './localCommand.ts'
import { runSteps, tell, type Step, type StepsOutcome } from './steps.ts'
import { adminToken, apiUrl, caFile, exitCodeFor, upContext, upSteps, type UpContext } from './up.ts'
import { exitCode } from './usage.ts'

export async function run({ json, onlySetup, hosts }: DemoOptions): Promise<number> {
  const config = loadConfig()
  if (hosts > 1) {
    process.stderr.write('This version shows one host; leave --hosts out.\n')
    return 2
  }
  const started = performance.now()
  const setUp = await runSteps<UpContext>(upSteps, upContext(config))
  const context = setUp.error === undefined ? await demoContext(config) : null
  const story = context === null || onlySetup ? null : await runSteps<DemoContext>(demoSteps satisfies readonly Step<DemoContext>[], context)
  const error = setUp.error ?? story?.error
  const answer = {
    schema: 'holdfast.demo/1', ok: error === undefined, durationMs: Math.round(performance.now() - started),
    steps: stepsOf(setUp, story), apiUrl: apiUrl(config),
    // the web pages come with a later version
    consoleUrl: null,
    credentialsFile: context === null ? null : await writeCredentials(config, context),
    caFile: caFile(config), databases: context === null ? [] : [...context.databases.values()].map(shown), gaps: context?.gaps ?? [],
  }
  await context?.client.close()
  if (json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else process.stdout.write(summary(config, answer, context, error))
  return answer.gaps.some(({ lost }) => lost > 0) ? exitCode.dataLost : exitCodeFor(error)
}

async function demoContext(config: Config): Promise<DemoContext> {
  const ca = await readFile(caFile(config), 'utf8')
  const client: HoldfastClient = createClient({ baseUrl: apiUrl(config), token: await adminToken(config), ca })
  return { config, client, ca, databases: new Map(), logins: new Map(), gaps: [], acknowledged: new Map(), teamId: null, projectId: null, checksum: null }
}

function stepsOf(setUp: StepsOutcome, story: StepsOutcome | null): StepsOutcome['results'] {
  return [...setUp.results, ...(story?.results ?? [])]
}

function shown({ id, name, tier, topology, urls }: Database): object {
  return { id, name, tier, topology, urls }
}

/** Passwords are in this file alone, which only its owner can read. */
async function writeCredentials(config: Config, { logins }: DemoContext): Promise<string> {
  const path = join(config.stateDir, 'credentials.json')
  const content = { apiToken: await adminToken(config), admin: null, databases: Object.fromEntries(logins) }
  await writeFile(path, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 })
  // the mode above counts only for a file that is made
  await chmod(path, 0o600)
  return path
}

function summary(config: Config, answer: { readonly ok: boolean; readonly credentialsFile: string | null }, context: DemoContext | null, error: unknown): string {
  if (!answer.ok) return `\n${tell(error)}\n`
  const databases = [...(context?.databases.values() ?? [])]
  const lines = databases.flatMap((database) => [
    '', `${database.name} (${database.tier}, ${database.topology})`, ...urlLines(database, context?.logins.get(database.id)),
  ])
  return [
    '', 'Everything is left running.', `  API            ${apiUrl(config)}`, `  authority      ${caFile(config)}`,
    `  passwords      ${answer.credentialsFile ?? 'none'}`, ...lines, '', 'Connect: PGPASSWORD=… psql "URL&sslrootcert=' + caFile(config) + '"', 'Remove everything: npm run down', '',
  ].join('\n')
}

function urlLines({ urls }: Database, login: LoginOf | undefined): string[] {
  if (urls === null) return []
  const who = login === undefined ? '' : `   (user ${login.user})`
  return [`  read-write     ${urls.rw}${who}`, `  read-only      ${urls.ro}`, `  pooled         ${urls.pooled}`]
}
