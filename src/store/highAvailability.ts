/** Who may have a cluster: a team that opted in, on a tier that offers it. What exists already is never asked again. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { tierNames, tiers, type TierName, type Topology } from '../domain/tiers.ts'
import { found } from './notFound.ts'
import type { Sql } from './sql.ts'

const teamRow = z.object({ id: z.string(), name: z.string(), haEnabled: z.boolean() })

/** Errors: `TierNotHa`, `HaNotEnabled`. */
export async function allowTopology(sql: Sql, teamId: string, tier: TierName, topology: Topology): Promise<void> {
  if (topology === 'standalone') return
  refuseTierWithoutHa(tier)
  const row = await sql.maybe(teamRow, `select id, name, ha_enabled as "haEnabled" from teams where id = $1`, [teamId])
  const team = found(row, 'team', teamId)
  if (team.haEnabled) return
  throw new HoldfastError('HaNotEnabled', `High availability is not turned on for the team ${team.name}.`, {
    next: `An admin of the team turns it on with PUT /v1/teams/${team.id}/ha {"enabled": true}, or: holdfast ha on --team ${team.id}.`,
    facts: { teamId: team.id, toggle: 'ha' },
  })
}

/** Error: `TierNotHa`. */
export function refuseTierWithoutHa(tier: TierName): void {
  if (tiers[tier].topologies.includes('ha')) return
  const offering = tierNames.filter((name) => tiers[name].topologies.includes('ha'))
  throw new HoldfastError('TierNotHa', `The tier ${tier} has no high availability.`, {
    next: `Choose one of the tiers ${offering.join(', ')}.`,
    facts: { tier, tiersWithHa: offering },
  })
}
