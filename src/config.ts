/**
 * The settings of an installation: from a YAML file (`HOLDFAST_CONFIG`) and the environment (`HOLDFAST_…`), which wins.
 * Parsed once at start and frozen. All mistakes are told at once; nothing starts with a setting that was not understood.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { z } from 'zod'
import { allowedAt, environmentNameOf, settingEntries } from './config/catalogue.ts'
import { settingsSchema, type Settings } from './config/schema.ts'
import {
  overlayEnvironment,
  readSettingsFile,
  unknownVariables,
  unreadableFiles,
  type Environment,
  type Mistake,
  type RawSettings,
} from './config/sources.ts'
import { HoldfastError } from './domain/errors.ts'

export type { EngineSettings, EtcdSettings, HostSettings, S3Settings } from './config/schema.ts'
export type { Environment, Mistake } from './config/sources.ts'

/** `Settings` with the state directory decided. */
export type Config = Settings & { readonly stateDir: string }

/** Error: `ConfigInvalid`, with every mistake in its message and in `facts.mistakes`. */
export function loadConfig(environment: Environment = process.env): Config {
  const path = environment.HOLDFAST_CONFIG
  return parseConfig(path === undefined || path === '' ? {} : readSettingsFile(path), environment)
}

/** The same for settings already at hand; `environment` wins over them. */
export function parseConfig(settings: RawSettings, environment: Environment): Config {
  const raw = overlayEnvironment(settings, environment)
  const parsed = settingsSchema.safeParse(raw)
  const mistakes = [...(parsed.error?.issues ?? []).flatMap(mistakesOf), ...unreadableFiles(raw), ...unknownVariables(environment)]
  if (!parsed.success || mistakes.length > 0) throw invalid(mistakes)
  const { data } = parsed
  return deepFreeze({ ...data, stateDir: data.stateDir ?? defaultStateDir(data.installation, environment) })
}

/** A Markdown table of all settings, for docs/settings.md. */
export function describeSettings(): string {
  const rows = settingEntries.map(({ path, environmentName, defaultText, description, allowed }) =>
    [code(path), environmentName === undefined ? 'in `HOLDFAST_HOSTS`' : code(environmentName), code(defaultText), description, allowed]
      .map((cell) => cell.replaceAll('|', '\\|'))
      .join(' | '),
  )
  const head = ['Setting | Environment | Default | Meaning | Allowed', '--- | --- | --- | --- | ---']
  return `${[...head, ...rows].map((row) => `| ${row} |`).join('\n')}\n`
}

function defaultStateDir(installation: string, { XDG_STATE_HOME, HOME }: Environment): string {
  const stateHome = XDG_STATE_HOME?.startsWith('/') === true ? XDG_STATE_HOME : join(HOME ?? homedir(), '.local', 'state')
  return join(stateHome, 'holdfast', installation)
}

/** The parser's messages are kept, as they never repeat a value: a mistyped secret must not end in a log. */
function mistakesOf(issue: z.core.$ZodIssue): readonly Mistake[] {
  const allowed = allowedAt(issue.path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ setting: settingName([...issue.path, key]), problem: 'is not a setting', allowed }))
  }
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
  return [{ setting: settingName(issue.path), problem: missing ? 'is missing' : issue.message, allowed }]
}

/** `api.port (HOLDFAST_API_PORT)`: whoever wrote it in either place recognises it. */
function settingName(path: readonly PropertyKey[]): string {
  const name = path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${String(key)}]` : text === '' ? String(key) : `${text}.${String(key)}`), '')
  const entry = settingEntries.find(({ keys }) => keys.length === path.length && keys.every((key, index) => key === path[index]))
  return entry === undefined ? name : `${name} (${environmentNameOf(entry.keys)})`
}

function invalid(mistakes: readonly Mistake[]): HoldfastError {
  const lines = mistakes.map(({ setting, problem, allowed }) => `\n  ${setting}: ${problem}; allowed: ${allowed}`)
  const count = mistakes.length === 1 ? 'One setting is wrong' : `${String(mistakes.length)} settings are wrong`
  return new HoldfastError('ConfigInvalid', `${count}:${lines.join('')}`, {
    next: 'Correct them in the environment or in the file that HOLDFAST_CONFIG names; docs/settings.md lists every setting',
    facts: { mistakes },
  })
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

function code(text: string | undefined): string {
  return text === undefined ? '–' : `\`${text}\``
}
