import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { writeAudit, type Actor } from './actor.ts'
import { appendEvents } from './events.ts'
import { found } from './notFound.ts'
import { time, type Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { TeamView } from './views.ts'

export interface TeamStore {
  /** Errors: `NameTaken`, `InvalidRequest`. */
  create(team: { readonly name: string }, actor: Actor): Promise<TeamView>
  /** Throws `NotFound`. */
  get(teamId: string): Promise<TeamView>
  list(): Promise<readonly TeamView[]>
  /** Whether the team may ask for clusters. Turned off, existing ones stay as they are. Throws `NotFound`. */
  setHa(teamId: string, enabled: boolean, actor: Actor): Promise<TeamView>
}

const teamRow: z.ZodType<TeamView> = z.object({ id: z.string(), name: z.string(), haEnabled: z.boolean(), createdAt: time })
const columns = `id, name, ha_enabled as "haEnabled", created_at as "createdAt"`

export function teamStore(database: ControlDatabase): TeamStore {
  return {
    create({ name }, actor) {
      const id = randomUUID()
      return database.transaction(async (sql) => {
        const team = await sql.one(teamRow, `insert into teams (id, name) values ($1, $2) returning ${columns}`, [id, name])
        await writeAudit(sql, { actor, teamId: id, action: 'team.create', target: id, facts: { name } })
        return team
      })
    },
    get: (teamId) => getTeam(database, teamId),
    list: () => database.many(teamRow, `select ${columns} from teams order by name`),
    setHa: (teamId, enabled, actor) => database.transaction((sql) => setHa(sql, teamId, enabled, actor)),
  }
}

async function getTeam(sql: Sql, teamId: string): Promise<TeamView> {
  return found(await sql.maybe(teamRow, `select ${columns} from teams where id = $1`, [teamId]), 'team', teamId)
}

/** Asked for what is already so, nothing changes and nothing is told. */
async function setHa(sql: Sql, teamId: string, enabled: boolean, actor: Actor): Promise<TeamView> {
  const changed = await sql.maybe(
    teamRow,
    `update teams set ha_enabled = $2 where id = $1 and ha_enabled <> $2 returning ${columns}`,
    [teamId, enabled],
  )
  if (changed === undefined) return getTeam(sql, teamId)
  const word = enabled ? 'on' : 'off'
  await writeAudit(sql, { actor, teamId, action: `ha.${word}`, target: teamId })
  const message = `High availability was turned ${word} for the team${enabled ? '' : '; clusters that exist stay as they are'}.`
  await appendEvents(sql, teamId, [{ severity: 'info', reason: enabled ? 'HaEnabled' : 'HaDisabled', message }])
  return changed
}
