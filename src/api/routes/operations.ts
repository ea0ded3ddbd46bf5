/** What takes more than one step, and waiting for it. */
import { HoldfastError } from '../../domain/errors.ts'
import { actorOf, principalOf } from '../authentication.ts'
import { showDatabase } from '../databaseView.ts'
import type { Api } from '../instance.ts'
import { reachDatabase, reachOperation } from '../reach.ts'
import { reconcileOrder, reconciled } from '../schemas/databases.ts'
import { newOperation, operation } from '../schemas/operations.ts'
import { problems } from '../schemas/problem.ts'
import { idParams, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'
import { createSettledWait } from '../settledWait.ts'

const tags = ['operations']

export function operationRoutes(app: Api, parts: ApiParts): void {
  const { store } = parts
  const waitSettled = createSettledWait(store)

  app.post('/v1/databases/:id/operations', {
    schema: { summary: "Take over another database's endpoint", tags, params: idParams, body: newOperation, response: { 202: operation, ...problems } },
  }, async (request, reply) => {
    const taker = await reachDatabase(store, principalOf(request), request.params.id)
    const giver = await reachDatabase(store, principalOf(request), request.body.fromDatabaseId)
    if (giver.id === taker.id || giver.team.id !== taker.team.id) {
      throw new HoldfastError('InvalidRequest', 'body.fromDatabaseId: must be another database of the same team.', { next: 'Name the database whose endpoint is to be taken.' })
    }
    const { kind, fromDatabaseId } = request.body
    return reply.code(202).send(await store.databases.startOperation(taker.id, { kind, input: { fromDatabaseId } }, actorOf(request)))
  })

  app.get('/v1/databases/:id/operations', {
    schema: { summary: "A database's operations, newest first", tags, params: idParams, response: { 200: listOf(operation), ...problems } },
  }, async (request) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    return { items: [...(await store.operations.list(id))] }
  })

  app.get('/v1/operations/:id', {
    schema: { summary: 'One operation', tags, params: idParams, response: { 200: operation, ...problems } },
  }, (request) => reachOperation(store, principalOf(request), request.params.id))

  app.post('/v1/databases/:id/reconcile', {
    schema: {
      summary: 'Look at it now; with wait, answer when it has settled or the time is up',
      tags, params: idParams, body: reconcileOrder, response: { 200: reconciled, ...problems },
    },
  }, async (request, reply) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    const wake = await store.queue.wake(id)
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const { settled, waitedMs } = request.body.wait
      ? await waitSettled(id, wake ?? 0, request.body.timeoutMs, gone.signal)
      : { settled: false, waitedMs: 0 }
    return { settled, waitedMs, database: await showDatabase(parts, await reachDatabase(store, principalOf(request), id)) }
  })
}
