/** What has to be merged into a configuration to make it another one: as Patroni merges, where null takes a key away. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { Part } from '../domain/part.ts'

type Tree = Readonly<Record<string, unknown>>

/** Null when nothing has to be merged. */
export function difference(wanted: Tree, found: unknown): Tree | null {
  const have = isTree(found) ? found : {}
  const patch: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(have)])) {
    const [to, from] = [wanted[key] ?? null, have[key] ?? null]
    if (isDeepStrictEqual(to, from)) continue
    const inner = isTree(to) && isTree(from) ? difference(to, from) : to
    if (inner !== null || !isTree(to)) patch[key] = inner
  }
  return Object.keys(patch).length === 0 ? null : patch
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isEmpty({ actions, records }: Part): boolean {
  return actions.length === 0 && records.length === 0
}
