import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { writeAudit, type Actor } from './actor.ts'
import { found } from './notFound.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { TeamView } from './views.ts'

export interface TeamStore {
  /** Errors: `NameTaken`, `InvalidRequest`. */
  create(team: { readonly name: string }, actor: Actor): Promise<TeamView>
  /** Throws `NotFound`. */
  get(teamId: string): Promise<TeamView>
  list(): Promise<readonly TeamView[]>
}

const teamRow: z.ZodType<TeamView> = z.object({ id: z.string(), name: z.string(), createdAt: time })
const columns = `id, name, created_at as "createdAt"`

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
    async get(teamId) {
      return found(await database.maybe(teamRow, `select ${columns} from teams where id = $1`, [teamId]), 'team', teamId)
    },
    list: () => database.many(teamRow, `select ${columns} from teams order by name`),
  }
}
