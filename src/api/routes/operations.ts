/** What takes more than one step, and waiting for it. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import type { Principal, Store } from '../../store/store.ts'
import type { MoveOrder } from '../../store/upgrade.ts'
import type { DatabaseView } from '../../store/views.ts'
import { actorOf, principalOf } from '../authentication.ts'
import { showDatabase } from '../databaseView.ts'
import { showFailover } from '../explanation.ts'
import type { Api } from '../instance.ts'
import { reachDatabase, reachOperation } from '../reach.ts'
import { reconcileOrder, reconciled } from '../schemas/databases.ts'
import { newOperation, operation, operationQuery } from '../schemas/operations.ts'
import { failover } from '../schemas/failovers.ts'
import { problems } from '../schemas/problem.ts'
import { idParams, listLimit, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'
import { createSettledWait } from '../settledWait.ts'

const tags = ['operations']
const failoverQuery = z.strictObject({ limit: listLimit.max(100).exactOptional() })

export function operationRoutes(app: Api, parts: ApiParts): void {
  const { store } = parts
  const waitSettled = createSettledWait(store)

  app.post('/v1/databases/:id/operations', {
    schema: {
      summary: 'Take over an endpoint; make a cluster of one server, or go back; move the leader, restart, or make a replica anew',
      tags, params: idParams, querystring: operationQuery, body: newOperation, response: { 202: operation, ...problems },
    },
  }, async (request, reply) => {
    const { body } = request
    refuseDryRun(request.query, body)
    const database = await reachDatabase(store, principalOf(request), request.params.id)
    switch (body.kind) {
      case 'takeOverEndpoint': {
        const giver = await giverOf(store, principalOf(request), database, body.fromDatabaseId)
        const order = { kind: body.kind, input: { fromDatabaseId: giver.id } }
        return reply.code(202).send(await store.databases.startOperation(database.id, order, actorOf(request)))
      }
      case 'switchover':
        return reply.code(202).send(await store.databases.orderOfCluster(database.id, { kind: body.kind, candidate: body.candidate ?? null }, actorOf(request)))
      case 'upgradeToHa': {
        if (body.rehearse === true) return reply.code(202).send(await store.databases.orderRehearsal(database.id, moveOf(body), actorOf(request)))
        const { portRanges, networkPool } = parts.settings.provisioning
        const order = { dryRun: request.query.dryRun === 'true', move: moveOf(body), portRanges, networkPool }
        return reply.code(202).send(await store.databases.orderUpgrade(database.id, order, actorOf(request)))
      }
      case 'rollback':
        return reply.code(202).send(await store.databases.orderRollback(database.id, { dryRun: request.query.dryRun === 'true', move: moveOf(body) }, actorOf(request)))
      case 'downgrade': {
        const { portRanges, networkPool } = parts.settings.provisioning
        const order = { dryRun: request.query.dryRun === 'true', move: moveOf(body), portRanges, networkPool }
        return reply.code(202).send(await store.databases.orderDowngrade(database.id, order, actorOf(request)))
      }
      case 'restart':
      case 'reinitialise':
        return reply.code(202).send(await store.databases.orderOfCluster(database.id, body, actorOf(request)))
    }
  })

  app.get('/v1/databases/:id/failovers', {
    schema: {
      summary: "What the failover guard concluded about a database's cluster, newest first",
      tags, params: idParams, querystring: failoverQuery, response: { 200: listOf(failover), ...problems },
    },
  }, async (request) => {
    const { id } = await reachDatabase(store, principalOf(request), request.params.id)
    return { items: (await store.failovers.list(id, request.query)).map(showFailover) }
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

  app.post('/v1/operations/:id/cancel', {
    schema: { summary: 'End an upgrade, a rollback or a downgrade before clients are moved, or a rehearsal; whoever serves is as it was', tags, params: idParams, response: { 202: operation, ...problems } },
  }, async (request, reply) => {
    const { id } = await reachOperation(store, principalOf(request), request.params.id)
    return reply.code(202).send(await store.databases.cancelOperation(id, actorOf(request)))
  })

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

function moveOf({ budgetMs, window }: MoveOrder): MoveOrder {
  return { ...(budgetMs !== undefined && { budgetMs }), ...(window !== undefined && { window }) }
}

/** Whoever asks for a dry run must not get the real thing. */
function refuseDryRun({ dryRun }: z.output<typeof operationQuery>, order: z.output<typeof newOperation>): void {
  if (dryRun !== 'true' || order.kind === 'rollback' || order.kind === 'downgrade' || (order.kind === 'upgradeToHa' && order.rehearse !== true)) return
  const kind = order.kind === 'upgradeToHa' ? 'rehearseUpgrade' : order.kind
  throw new HoldfastError('InvalidRequest', `query.dryRun: the operation ${kind} has no dry run; nothing was begun.`, { next: 'Leave dryRun out to perform it.' })
}

/** Data stays within its team, even for a token that reaches all teams. */
async function giverOf(store: Store, principal: Principal, taker: DatabaseView, id: string): Promise<DatabaseView> {
  const giver = await reachDatabase(store, principal, id)
  if (giver.id !== taker.id && giver.team.id === taker.team.id) return giver
  throw new HoldfastError('InvalidRequest', 'body.fromDatabaseId: must be another database of the same team.', { next: 'Name the database whose endpoint is to be taken.' })
}
