/**
 * Remembers the blueprints of a database until something changes that they may be made from: a pass that finds everything
 * as it should be would otherwise spend most of its time rendering what it has rendered before.
 */
import type { Blueprints } from '../domain/blueprint.ts'
import type { Desired } from '../domain/desired.ts'
import type { Blueprinter } from '../domain/ports.ts'

/** Some tens of kilobytes each. Of more databases the one rendered longest ago is forgotten. */
const mostKept = 512

interface Kept {
  readonly madeFrom: string
  readonly blueprints: Blueprints
}

export function keepBlueprints(blueprinter: Blueprinter, most = mostKept): Blueprinter {
  const kept = new Map<string, Kept>()
  return {
    blueprints(desired) {
      const { id } = desired.database
      const madeFrom = textOf(desired)
      const known = kept.get(id)
      if (known?.madeFrom === madeFrom) return known.blueprints
      const blueprints = blueprinter.blueprints(desired)
      kept.delete(id)
      const [oldest] = kept.keys()
      if (kept.size >= most && oldest !== undefined) kept.delete(oldest)
      kept.set(id, { madeFrom, blueprints })
      return blueprints
    },
  }
}

/**
 * Everything but what passes themselves keep changing and no container is made of. Secrets are not in it, nor need they be: a
 * private key changes with its certificate, a repository's cipher never.
 */
function textOf({ database: { conditions: _conditions, ...database }, certificates, backups: _backups, operation: _operation, credentials: _credentials, ...rest }: Desired): string {
  return JSON.stringify({ database, certificates: [...certificates], ...rest })
}
