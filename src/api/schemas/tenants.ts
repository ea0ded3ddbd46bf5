/** Teams, projects, hosts, tiers and tokens: what is there before the first database. */
import { z } from 'zod'
import * as words from './words.ts'

export const newTeam = z.strictObject({ name: words.name })
export const team = z
  .object({
    id: words.id,
    name: z.string(),
    haEnabled: z.boolean().describe('Whether it may ask for highly available databases (beta)'),
    createdAt: words.time,
  })
  .meta({ id: 'Team' })
export const haToggle = z.strictObject({ enabled: z.boolean().describe('Turned off, clusters that exist stay as they are') })

export const newProject = z.strictObject({ name: words.name })
export const project = z
  .object({
    id: words.id,
    name: z.string(),
    team: z.object({ id: words.id, name: z.string() }),
    createdAt: words.time,
    networks: z
      .array(z.object({ host: z.string(), network: z.string().describe('Name of the container network on that host'), subnet: z.string() }))
      .describe('Join these with your own containers to reach the private face of the endpoints'),
  })
  .meta({ id: 'Project' })

export const host = z
  .object({
    id: words.id,
    name: z.string(),
    engine: z.string(),
    privateAddress: z.string(),
    publicAddress: z.string(),
    state: z.enum(['active', 'draining', 'lost']),
  })
  .meta({ id: 'Host' })

const schedule = z.object({ full: z.string(), incremental: z.string(), retentionDays: words.count })
export const tier = z
  .object({
    name: words.tierName,
    topologies: z.array(words.topology).describe('What may be asked for on it'),
    memoryBytes: words.bytes,
    cpus: z.number(),
    maxConnections: words.count,
    storageBytes: words.bytes,
    backups: schedule.describe('Cron expressions in UTC, and days that backups are kept'),
  })
  .meta({ id: 'Tier' })

export const tokenRole = z.enum(['admin', 'member'])
export const newToken = z.strictObject({
  name: words.label,
  role: tokenRole.default('member'),
  teamId: words.id.nullish().describe('Left out or null: the team of the calling token'),
  expiresAt: words.moment.exactOptional(),
})
export const token = z
  .object({
    id: words.id,
    teamId: words.id.nullable().describe('null: a token of the platform itself'),
    name: z.string(),
    role: tokenRole,
    createdAt: words.time,
    expiresAt: words.time.nullable(),
    revokedAt: words.time.nullable(),
    lastUsedAt: words.time.nullable(),
  })
  .meta({ id: 'Token' })
export const createdToken = token
  .extend({ token: z.string().describe('The token itself: shown now and never again') })
  .meta({ id: 'CreatedToken' })
