/** Reads the raw settings from a YAML file and the environment, which wins. Knows where a setting comes from, not whether it is right. */
import { accessSync, constants, readFileSync } from 'node:fs'
import { LineCounter, parseDocument } from 'yaml'
import { HoldfastError } from '../domain/errors.ts'
import { settingEntries, type SettingEntry } from './catalogue.ts'

export type Environment = Readonly<Record<string, string | undefined>>
export type RawSettings = Record<string, unknown>

export interface Mistake {
  readonly setting: string
  readonly problem: string
  readonly allowed: string
}

/** Names under the prefix that are read by somebody else: the path of this file, and what the command line needs to find the API. */
const readElsewhere: ReadonlySet<string> = new Set(['HOLDFAST_CONFIG', 'HOLDFAST_API_URL', 'HOLDFAST_API_TOKEN', 'HOLDFAST_API_CA_FILE'])
const maxFileBytes = 1_000_000

/** Error: `ConfigInvalid`, if there is a file that cannot be read as YAML. Its text is never shown: it may hold secrets. */
export function readSettingsFile(path: string): RawSettings {
  const lines = new LineCounter()
  const document = parseDocument(readText(path), { prettyErrors: false, lineCounter: lines })
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    throw unreadable(path, `line ${String(line)}, column ${String(col)}: ${error.code}`)
  }
  const settings: unknown = document.toJS() ?? {}
  if (!isGroup(settings)) throw unreadable(path, 'it holds no settings, but a list or a single value')
  return settings
}

/** Lays what the environment says over `settings`, in a copy. An empty variable counts as not set. */
export function overlayEnvironment(settings: RawSettings, environment: Environment): RawSettings {
  const result = structuredClone(settings)
  for (const entry of settingEntries) {
    const text = entry.environmentName === undefined ? undefined : environment[entry.environmentName]
    if (text !== undefined && text !== '') place(result, entry.keys, decode(entry, text))
  }
  return result
}

export function unknownVariables(environment: Environment): readonly Mistake[] {
  const known = new Set(settingEntries.map(({ environmentName }) => environmentName))
  return Object.keys(environment)
    .filter((name) => name.startsWith('HOLDFAST_') && !known.has(name) && !readElsewhere.has(name))
    .map((setting) => ({ setting, problem: 'is not a setting', allowed: 'the variables listed in docs/settings.md' }))
}

/** A `…File` setting that names a file nobody can read is a mistake to hear of at start, not at the first use. */
export function unreadableFiles(value: unknown, path = ''): readonly Mistake[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => unreadableFiles(item, `${path}[${String(index)}]`))
  if (!isGroup(value)) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const setting = path === '' ? key : `${path}.${key}`
    if (!key.endsWith('File') || typeof inner !== 'string' || inner === '' || isReadable(inner)) return unreadableFiles(inner, setting)
    return [{ setting, problem: `names ${inner}, which cannot be read`, allowed: 'the path of a readable file' }]
  })
}

function decode({ kind }: SettingEntry, text: string): unknown {
  switch (kind) {
    case 'text':
      return text
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'list':
      return decodeList(text)
  }
}

function decodeList(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: false })
  return document.errors.length === 0 ? document.toJS() : text
}

function place(settings: RawSettings, keys: readonly string[], value: unknown): void {
  const [key, ...rest] = keys
  if (key === undefined) return
  if (rest.length === 0) {
    settings[key] = value
    return
  }
  const existing = settings[key] ?? {}
  // Something else stands where a group belongs: it stays, and the schema says so.
  if (!isGroup(existing)) return
  settings[key] = existing
  place(existing, rest, value)
}

function readText(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length <= maxFileBytes) return text
  } catch (cause) {
    throw unreadable(path, 'it cannot be opened', cause)
  }
  throw unreadable(path, `it is longer than ${String(maxFileBytes)} bytes`)
}

function unreadable(path: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('ConfigInvalid', `The settings file ${path} cannot be used: ${why}`, {
    next: 'Correct the file that HOLDFAST_CONFIG names, or unset that variable',
    cause,
  })
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

function isGroup(value: unknown): value is RawSettings {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
