/** Tokens: made and revoked by admins, for their own team; by the platform's admins for every team and the platform. */
import { z } from 'zod'
import { actorOf, principalOf } from '../authentication.ts'
import type { Api } from '../instance.ts'
import { reachTeam, requireAdmin, revokeToken } from '../reach.ts'
import { problems } from '../schemas/problem.ts'
import { createdToken, newToken, token } from '../schemas/tenants.ts'
import { id, idParams, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['tokens']
const listQuery = z.strictObject({ teamId: id.exactOptional().describe("By default the token's own team, or the platform itself") })

export function tokenRoutes(app: Api, { store }: ApiParts): void {
  app.post('/v1/tokens', {
    schema: { summary: 'Make a token; it is shown once', tags, body: newToken, response: { 201: createdToken, ...problems } },
  }, async (request, reply) => {
    const principal = principalOf(request)
    requireAdmin(principal)
    const { teamId: asked, expiresAt, ...rest } = request.body
    const teamId = asked ?? principal.teamId
    if (teamId !== null) await reachTeam(store, principal, teamId)
    const made = await store.tokens.create({ ...rest, teamId, ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }) }, actorOf(request))
    return reply.code(201).send({ ...made.view, token: made.token.reveal() })
  })

  app.get('/v1/tokens', {
    schema: { summary: 'Tokens, without the tokens themselves', tags, querystring: listQuery, response: { 200: listOf(token), ...problems } },
  }, async (request) => {
    const principal = principalOf(request)
    requireAdmin(principal)
    const teamId = request.query.teamId ?? principal.teamId
    if (teamId !== null) await reachTeam(store, principal, teamId)
    return { items: [...(await store.tokens.list(teamId))] }
  })

  app.delete('/v1/tokens/:id', {
    schema: { summary: 'Revoke a token, from now on', tags, params: idParams, response: { 200: token, ...problems } },
  }, async (request) => {
    const principal = principalOf(request)
    requireAdmin(principal)
    return revokeToken(store, principal, request.params.id, () => store.tokens.revoke(request.params.id, actorOf(request)))
  })
}
