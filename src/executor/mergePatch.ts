/** JSON merge patch (RFC 7396), as Patroni merges its dynamic configuration: null takes a key away. Pure. */
import { HoldfastError } from '../domain/errors.ts'

export type Tree = Readonly<Record<string, unknown>>

export function merged(target: Tree, patch: Tree): Tree {
  const result: Record<string, unknown> = { ...target }
  for (const [key, value] of Object.entries(patch)) {
    const before = result[key]
    if (value === null) delete result[key]
    else result[key] = isTree(value) ? merged(isTree(before) ? before : {}, value) : value
  }
  return result
}

export function treeOf(text: string): Tree {
  try {
    const value: unknown = JSON.parse(text)
    if (isTree(value)) return value
  } catch (cause) {
    throw new HoldfastError('Internal', 'The configuration of the cluster in etcd is not JSON', { cause })
  }
  throw new HoldfastError('Internal', 'The configuration of the cluster in etcd is not an object')
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
