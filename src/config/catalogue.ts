/** The settings as a flat list, derived from the schema: path, name in the environment, default, meaning, what is allowed. */
import { z } from 'zod'
import { settingsSchema } from './schema.ts'

type SchemaNode = z.core.JSONSchema.BaseSchema

export type SettingKind = 'text' | 'number' | 'boolean' | 'list'

export interface SettingEntry {
  /** As in the YAML file: `api.port`, `hosts[].name`. */
  readonly path: string
  readonly keys: readonly string[]
  /** Undefined for what stands inside a list. */
  readonly environmentName: string | undefined
  readonly kind: SettingKind
  readonly defaultText: string | undefined
  readonly description: string
  readonly allowed: string
}

const root: SchemaNode = z.toJSONSchema(settingsSchema, { io: 'input', unrepresentable: 'any' })

export const settingEntries: readonly SettingEntry[] = entriesUnder(root, [], false)

export function environmentNameOf(keys: readonly string[]): string {
  return ['HOLDFAST', ...keys.map((key) => key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase())].join('_')
}

/** What may stand at `path`, in words; the names of the settings inside, if it is a group. */
export function allowedAt(path: readonly PropertyKey[]): string {
  const node = nodeAt(path)
  if (node === undefined) return 'nothing'
  const names = Object.keys(node.properties ?? {})
  return names.length === 0 ? allowedBy(node) : `the settings ${names.join(', ')}`
}

function nodeAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = root
  for (const key of path) node = typeof key === 'number' ? asNode(node?.items) : asNode(node?.properties?.[String(key)])
  return node
}

function entriesUnder(node: SchemaNode, keys: readonly string[], inList: boolean): readonly SettingEntry[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const childNode = asNode(child)
    return childNode === undefined ? [] : entriesOf(childNode, [...keys, key], inList)
  })
}

function entriesOf(node: SchemaNode, keys: readonly string[], inList: boolean): readonly SettingEntry[] {
  if (node.type === 'object') return entriesUnder(node, keys, inList)
  const items = node.type === 'array' ? asNode(node.items) : undefined
  const inside = items === undefined ? [] : entriesUnder(items, [...keys.slice(0, -1), `${keys.at(-1) ?? ''}[]`], true)
  return [entryOf(node, keys, inList), ...inside]
}

function entryOf(node: SchemaNode, keys: readonly string[], inList: boolean): SettingEntry {
  return {
    path: keys.join('.'),
    keys,
    environmentName: inList ? undefined : environmentNameOf(keys),
    kind: kindOf(node),
    defaultText: typeof node.default === 'string' ? node.default : JSON.stringify(node.default),
    description: node.description ?? '',
    allowed: allowedBy(node),
  }
}

function kindOf({ type }: SchemaNode): SettingKind {
  if (type === 'integer' || type === 'number') return 'number'
  if (type === 'boolean') return 'boolean'
  return type === 'array' ? 'list' : 'text'
}

function allowedBy(node: SchemaNode): string {
  if (typeof node.allowed === 'string') return node.allowed
  if (node.enum !== undefined) return `one of ${node.enum.map(String).join(', ')}`
  if (node.type === 'boolean') return 'true or false'
  if (node.type === 'integer') return wholeNumber(node)
  return node.type === 'array' ? 'a list' : 'any text'
}

function wholeNumber({ minimum, maximum }: SchemaNode): string {
  const from = `a whole number from ${String(minimum)}`
  return maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? from : `${from} to ${String(maximum)}`
}

/** JSON Schema allows `true` and `false` for a schema, and a list for `items`; the settings use neither. */
function asNode(node: unknown): SchemaNode | undefined {
  return isNode(node) ? node : undefined
}

function isNode(node: unknown): node is SchemaNode {
  return typeof node === 'object' && node !== null && !Array.isArray(node)
}
