import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { writeAudit, type Actor } from './actor.ts'
import { found } from './notFound.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { ProjectView } from './views.ts'

export interface ProjectStore {
  /** Errors: `NotFound` (team), `NameTaken`, `InvalidRequest`. */
  create(project: { readonly teamId: string; readonly name: string }, actor: Actor): Promise<ProjectView>
  /** Throws `NotFound`. */
  get(projectId: string): Promise<ProjectView>
  list(teamId: string): Promise<readonly ProjectView[]>
}

const projectRow: z.ZodType<ProjectView> = z.object({
  id: z.string(),
  name: z.string(),
  team: z.object({ id: z.string(), name: z.string() }),
  networks: z.array(z.object({ hostId: z.string(), subnet: z.string() })),
  createdAt: time,
})

const select = `
  select p.id, p.name, p.created_at as "createdAt", json_build_object('id', t.id, 'name', t.name) as team,
         coalesce((select json_agg(json_build_object('hostId', n.host_id, 'subnet', n.subnet) order by n.host_id)
                     from project_networks n where n.project_id = p.id), '[]') as networks
    from projects p join teams t on t.id = p.team_id`

export function projectStore(database: ControlDatabase): ProjectStore {
  return {
    create({ teamId, name }, actor) {
      const id = randomUUID()
      return database.transaction(async (sql) => {
        await sql.run(`insert into projects (id, team_id, name) values ($1, $2, $3)`, [id, teamId, name])
        await writeAudit(sql, { actor, teamId, action: 'project.create', target: id, facts: { name } })
        return sql.one(projectRow, `${select} where p.id = $1`, [id])
      })
    },
    async get(projectId) {
      return found(await database.maybe(projectRow, `${select} where p.id = $1`, [projectId]), 'project', projectId)
    },
    list: (teamId) => database.many(projectRow, `${select} where p.team_id = $1 order by p.name`, [teamId]),
  }
}
