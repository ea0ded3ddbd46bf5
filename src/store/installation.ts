/** Which installation this control database belongs to: two installations must never work on one. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { ControlDatabase } from './transaction.ts'

export interface InstallationStore {
  /** Marks an empty control database as this installation's. Throws `Conflict` when it is another's. */
  ensure(slug: string): Promise<void>
}

const installationRow = z.object({ slug: z.string() })

export function installationStore(database: ControlDatabase): InstallationStore {
  return {
    async ensure(slug) {
      await database.run(`insert into installation (slug) values ($1) on conflict do nothing`, [slug])
      const owner = await database.one(installationRow, `select slug from installation`)
      if (owner.slug === slug) return
      throw new HoldfastError('Conflict', `This control database belongs to the installation ${owner.slug}, not to ${slug}.`, {
        next: 'Give this installation a database of its own, or correct the setting `installation`.',
      })
    },
  }
}
