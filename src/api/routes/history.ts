/** What happened: events for everyone, the audit log for admins. */
import { z } from 'zod'
import { principalOf } from '../authentication.ts'
import { explainEvent } from '../explanation.ts'
import type { Api } from '../instance.ts'
import { requireAdmin, teamAskedFor } from '../reach.ts'
import { explanation } from '../schemas/failovers.ts'
import { auditEntry, event } from '../schemas/operations.ts'
import { problems } from '../schemas/problem.ts'
import { id, listLimit, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['history']
const sequence = z.coerce.number().int().min(0)
const eventQuery = z.strictObject({
  teamId: id.exactOptional().describe("By default the token's own team"),
  databaseId: id.exactOptional(),
  after: sequence.exactOptional().describe('Only events with a higher seq'),
  limit: listLimit.exactOptional(),
})
const teamQuery = eventQuery.pick({ teamId: true })
const auditQuery = z.strictObject({ teamId: id.exactOptional(), before: sequence.exactOptional().describe('Only entries with a lower id'), limit: listLimit.exactOptional() })

export function historyRoutes(app: Api, { store }: ApiParts): void {
  app.get('/v1/events', {
    schema: { summary: "A team's events in order; each has a seq without gaps", tags, querystring: eventQuery, response: { 200: listOf(event), ...problems } },
  }, async (request) => {
    const { teamId: asked, after, ...filter } = request.query
    const teamId = teamAskedFor(principalOf(request), asked)
    return { items: [...(await store.events.list({ ...filter, teamId, ...(after === undefined ? {} : { afterSeq: after }) }))] }
  })

  app.get('/v1/events/:seq/explanation', {
    schema: {
      summary: 'What an event was about: what was seen, concluded and done, and what came of it',
      tags, params: z.strictObject({ seq: sequence }), querystring: teamQuery, response: { 200: explanation, ...problems },
    },
  }, (request) => explainEvent(store, teamAskedFor(principalOf(request), request.query.teamId), request.params.seq))

  app.get('/v1/audit', {
    schema: { summary: 'Who changed what, newest first', tags, querystring: auditQuery, response: { 200: listOf(auditEntry), ...problems } },
  }, async (request) => {
    const principal = principalOf(request)
    requireAdmin(principal)
    const { teamId: asked, before, ...filter } = request.query
    // a platform token that names no team sees all of them
    const team = principal.teamId === null && asked === undefined ? {} : { teamId: teamAskedFor(principal, asked) }
    return { items: [...(await store.audit.list({ ...filter, ...team, ...(before === undefined ? {} : { beforeId: before }) }))] }
  })
}
