/** Backups and what is made from them. A restore always makes a new database. */
import { HoldfastError } from '../../domain/errors.ts'
import type { Principal, Store } from '../../store/store.ts'
import type { DatabaseView } from '../../store/views.ts'
import { actorOf, principalOf } from '../authentication.ts'
import { showDatabase } from '../databaseView.ts'
import type { Api } from '../instance.ts'
import { reachBackup, reachDatabase, reachProject } from '../reach.ts'
import { database } from '../schemas/databases.ts'
import { backup, newBackup, restoreOrder } from '../schemas/operations.ts'
import { problems } from '../schemas/problem.ts'
import { idParams, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['backups']

export function backupRoutes(app: Api, parts: ApiParts): void {
  const { store, settings } = parts

  app.get('/v1/databases/:id/backups', {
    schema: { summary: "A database's backups, newest first", tags, params: idParams, response: { 200: listOf(backup), ...problems } },
  }, async (request) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    return { items: [...(await store.backups.list(id))] }
  })

  app.post('/v1/databases/:id/backups', {
    schema: {
      summary: 'Take a backup now; 200 with the one under way if there is one',
      tags, params: idParams, body: newBackup, response: { 200: backup, 202: backup, ...problems },
    },
  }, async (request, reply) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    const asked = await store.databases.requestBackup(id, request.body.kind, actorOf(request))
    return reply.code(asked.created ? 202 : 200).send(asked.backup)
  })

  app.get('/v1/backups/:id', {
    schema: { summary: 'One backup', tags, params: idParams, response: { 200: backup, ...problems } },
  }, (request) => reachBackup(store, principalOf(request), request.params.id))

  app.post('/v1/databases/:id/restore', {
    schema: {
      summary: 'A new database from a backup or a moment of this one; this one is never touched',
      tags, params: idParams, body: restoreOrder, response: { 202: database, ...problems },
    },
  }, async (request, reply) => {
    const principal = principalOf(request)
    const source = await reachDatabase(store, principal, request.params.id)
    const { name, at, projectId: _asked, ...point } = request.body
    const projectId = await targetProject(store, principal, source, request.body.projectId)
    const order = { ...settings.provisioning, ...point, ...(at === undefined ? {} : { targetTime: new Date(at) }), name, projectId, sourceDatabaseId: source.id }
    const made = await store.databases.createRestored(order, actorOf(request))
    return reply.code(202).send(await showDatabase(parts, made.database))
  })
}

/** Data stays within its team, even for a token that reaches all teams. */
async function targetProject(store: Store, principal: Principal, source: DatabaseView, asked: string | undefined): Promise<string> {
  if (asked === undefined) return source.project.id
  const project = await reachProject(store, principal, asked)
  if (project.team.id !== source.team.id) {
    throw new HoldfastError('InvalidRequest', 'body.projectId: belongs to another team than the database.', { next: "Choose a project of the database's team." })
  }
  return project.id
}
