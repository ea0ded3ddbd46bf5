/** Roles that customers log in with. A password is shown in the answer that makes it, and never again. */
import { actorOf, principalOf } from '../authentication.ts'
import { showCredential } from '../databaseView.ts'
import type { Api } from '../instance.ts'
import { reachDatabase } from '../reach.ts'
import { credential, rotated, rotation } from '../schemas/databases.ts'
import { problems } from '../schemas/problem.ts'
import { idParams, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['credentials']

export function credentialRoutes(app: Api, { store }: ApiParts): void {
  app.get('/v1/databases/:id/credentials', {
    schema: { summary: 'Who may log in, and who still uses an old password', tags, params: idParams, response: { 200: listOf(credential), ...problems } },
  }, async (request) => {
    const { credentials } = await reachDatabase(store, principalOf(request), request.params.id)
    return { items: credentials.map(showCredential) }
  })

  app.post('/v1/databases/:id/credentials/rotate', {
    schema: { summary: 'A new role and password; the old one ends after the overlap', tags, params: idParams, body: rotation, response: { 201: rotated, ...problems } },
  }, async (request, reply) => {
    const { id, databaseName } = await reachDatabase(store, principalOf(request), request.params.id)
    const issued = await store.databases.rotateCredential(id, request.body, actorOf(request))
    const { credentials } = await store.databases.view(id)
    return reply.code(201).send({
      credentials: { user: issued.roleName, password: issued.password.reveal(), database: databaseName },
      roles: credentials.map(showCredential),
    })
  })
}
