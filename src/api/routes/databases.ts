/** Databases: ask for one, look at it, change what is asked for, delete it. What is written here the loop makes true. */
import { z } from 'zod'
import { actorOf, principalOf } from '../authentication.ts'
import { showDatabase } from '../databaseView.ts'
import type { Api } from '../instance.ts'
import { reachDatabase, reachProject } from '../reach.ts'
import { createdDatabase, database, databaseChange, deletion, newDatabase } from '../schemas/databases.ts'
import { problems } from '../schemas/problem.ts'
import { idParams, listLimit, pageOf, queryFlag } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['databases']
const listQuery = z.strictObject({
  limit: listLimit.max(100).exactOptional(),
  cursor: z.string().max(200).exactOptional(),
  includeRemoved: queryFlag.exactOptional().describe('Also those of which only the backups are left'),
})

export function databaseRoutes(app: Api, parts: ApiParts): void {
  const { store, settings } = parts

  app.post('/v1/projects/:id/databases', {
    schema: { summary: 'Ask for a database', tags, params: idParams, body: newDatabase, response: { 201: createdDatabase, ...problems } },
  }, async (request, reply) => {
    const { id: projectId } = await reachProject(store, principalOf(request), request.params.id)
    const made = await store.databases.create({ ...settings.provisioning, ...request.body, projectId }, actorOf(request))
    const credentials = { user: made.credential.roleName, password: made.credential.password.reveal(), database: made.database.databaseName }
    return reply.code(201).send({ ...(await showDatabase(parts, made.database)), credentials })
  })

  app.get('/v1/projects/:id/databases', {
    schema: { summary: "A project's databases, newest first", tags, params: idParams, querystring: listQuery, response: { 200: pageOf(database), ...problems } },
  }, async (request) => {
    const { id: projectId } = await reachProject(store, principalOf(request), request.params.id)
    const { includeRemoved, ...query } = request.query
    const page = await store.databases.list({ ...query, projectId, includeRemoved: includeRemoved === 'true' })
    return { items: await Promise.all(page.items.map((view) => showDatabase(parts, view))), nextCursor: page.nextCursor }
  })

  app.get('/v1/databases/:id', {
    schema: { summary: 'One database: what is asked for and how it is', tags, params: idParams, response: { 200: database, ...problems } },
  }, async (request) => showDatabase(parts, await reachDatabase(store, principalOf(request), request.params.id)))

  app.patch('/v1/databases/:id', {
    schema: { summary: 'Change what is asked for; also pause and resume', tags, params: idParams, body: databaseChange, response: { 200: database, ...problems } },
  }, async (request) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    const { rollbackUntil, ...rest } = request.body
    const patch = { ...rest, ...(rollbackUntil !== undefined && { rollbackUntil: new Date(rollbackUntil) }) }
    return showDatabase(parts, await store.databases.patch(id, patch, actorOf(request)))
  })

  app.delete('/v1/databases/:id', {
    schema: { summary: 'Delete it, after a last backup unless told otherwise', tags, params: idParams, body: deletion, response: { 202: database, ...problems } },
  }, async (request, reply) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    const order = { ...request.body, keepBackupsDays: request.body.keepBackupsDays ?? settings.deletedBackupsKeptDays }
    return reply.code(202).send(await showDatabase(parts, await store.databases.requestDeletion(id, order, actorOf(request))))
  })
}
