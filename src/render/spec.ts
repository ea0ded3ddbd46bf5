/**
 * Puts a blueprint together: labels, and the two hashes that decide between making a container anew and reloading it.
 * The hash of the specification covers everything but the files; the generation is a label only, so that a change that
 * does not concern a container leaves it alone.
 */
import { createHash } from 'node:crypto'
import type { Blueprint, RenderedFile } from '../domain/blueprint.ts'
import type { Desired, Host } from '../domain/desired.ts'
import { label, type ResourceKind } from '../domain/names.ts'

/** Raised when containers have to be made anew although their blueprints read the same: a new security profile, for instance. */
const profileVersion = '1'

export interface Spec extends Omit<Blueprint, 'labels' | 'specHash' | 'configHash' | 'files'> {
  readonly kind: ResourceKind
  /** Ids by label, beside those of the database. */
  readonly owner: Readonly<Record<string, string>>
  /** What else only a new container brings into force. */
  readonly remakeFor: readonly string[]
}

export interface SpecFiles {
  readonly files: readonly RenderedFile[]
  readonly configHash: string
}

export function blueprintOf(installation: string, desired: Desired, spec: Spec, { files, configHash }: SpecFiles): Blueprint {
  const { kind, owner, remakeFor, ...shape } = spec
  const identity = {
    [label.installation]: installation,
    [label.kind]: kind,
    [label.project]: desired.project.id,
    [label.database]: desired.database.id,
    ...owner,
  }
  const specHash = shortHash({ profileVersion, shape, identity, remakeFor })
  const labels = { ...identity, [label.generation]: String(desired.database.generation), [label.spec]: specHash }
  return { ...shape, labels, files, specHash, configHash }
}

/** `name:address` for the container's hosts file: names that TLS verifies, on addresses that no resolver knows. */
export function hostsLine(name: string, host: Pick<Host, 'privateAddress'>): string {
  return `${name}:${host.privateAddress}`
}

function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)
}
