/** A database that is moved from one server to a cluster and back, with a customer who writes and an observer at each of its servers. */
import assert from 'node:assert/strict'
import { answerOf, ApiProblem } from '../../src/client/problem.ts'
import type { Operation } from '../../src/client/schema.ts'
import type { ClientWindow } from '../../src/domain/action.ts'
import { memberPlaces, openHaProject, orderServer, removeCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import { serverPlaceOf, type ServerPlace } from '../harness/ha/members.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { eventually, ready, type Rig } from './rig.ts'
import type { Step, Strikes } from './strikes.ts'

export type Kind = 'upgradeToHa' | 'rollback'

export interface Moved {
  readonly rig: Rig
  readonly site: Site
  readonly customer: ClusterCustomer
}

/** A machine that is busy must not make a move go back. */
const budgetMs = 15_000
export const limitMs = 240_000

/** A move is made in one pass, for which the suites' usual limit is too short: it would be cut off and go back. */
export const movingSettings = { HOLDFAST_CONTROLLER_LEASE_SECONDS: '16', HOLDFAST_CONTROLLER_PASS_TIMEOUT_MS: '15500', HOLDFAST_CONTROLLER_EFFECT_TIMEOUT_MS: '15000' }

export const otherWay = (kind: Kind): Kind => (kind === 'upgradeToHa' ? 'rollback' : 'upgradeToHa')

/** Backed up; one server, unless it is ordered otherwise. */
export async function openMoved(rig: Rig, name: string, order: typeof orderServer = orderServer): Promise<Moved> {
  const site = await openSite(rig.service)
  const customer = await order(site, await openHaProject(site), { name })
  await rig.service.noteSecret(`password of ${name}`, customer.login.password)
  await untilClusterSettled(site, customer.id, limitMs)
  return { rig, site, customer }
}

/** Every server that the database has by now: an observer cannot stand by one that is still to be made. */
export async function watchAll({ site, customer }: Moved): Promise<Watch> {
  const places: readonly ServerPlace[] = [await serverPlaceOf(site, customer.id), ...await memberPlaces(site, customer.id)]
  return startWatch(site, customer, places, { withHistory: false })
}

/** Asked for again and again: what an earlier move left goes first. One whose answer was lost with the controller is found again. */
export async function begin(moved: Moved, kind: Kind | 'downgrade', window: ClientWindow = 'hold'): Promise<Operation> {
  const { rig, customer } = moved
  const params = { path: { id: customer.id } }
  const newest = async (): Promise<{ readonly id: string; readonly kind: string } | null> => (await answerOf(rig.service.api.GET('/v1/databases/{id}', { params }))).status.operation
  const before = await eventually('the database to be seen', newest, limitMs)
  return eventually(`the ${kind} to begin`, async () => {
    const last = await newest()
    if (last !== null && last.id !== before?.id && last.kind === kind) return lookAt(moved, last.id)
    return answerOf(rig.service.api.POST('/v1/databases/{id}/operations', { params, body: { kind, budgetMs, window } })).catch(notYet)
  }, limitMs)
}

function notYet(error: unknown): NotYet {
  if (error instanceof ApiProblem) return new NotYet(error.message)
  throw error
}

export function lookAt({ rig }: Pick<Moved, 'rig'>, id: string): Promise<Operation> {
  return answerOf(rig.service.api.GET('/v1/operations/{id}', { params: { path: { id } } }))
}

export async function untilPhase(moved: Moved, { id }: Operation, phase: string): Promise<Operation> {
  return eventually(`the phase ${phase}`, async () => {
    const seen = await lookAt(moved, id)
    return seen.phase === phase || seen.outcome !== null ? seen : new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''}`)
  }, limitMs)
}

export async function untilEnded(moved: Moved, { id, kind }: Operation): Promise<Operation> {
  return eventually(`the ${kind} to end`, async () => {
    const seen = await lookAt(moved, id)
    return seen.outcome === null ? new NotYet(`${seen.phase}: ${seen.waitingFor ?? ''}`) : seen
  }, limitMs)
}

/** Undisturbed. */
export async function moveWhole(moved: Moved, kind: Kind | 'downgrade', window?: ClientWindow): Promise<Operation> {
  const ended = await untilEnded(moved, await begin(moved, kind, window))
  assert.equal(ended.outcome, 'succeeded', ended.failure?.message)
  return ended
}

export interface Struck {
  readonly operation: Operation
  readonly wasStruck: boolean
}

/** The controller dies after this step, if it comes to it, and another one goes on with what it finds. */
export async function moveStruck(moved: Moved, strikes: Strikes, kind: Kind, step: Step, window?: ClientWindow): Promise<Struck> {
  const { rig } = moved
  await strikes.plan({ at: step, signal: 'SIGKILL' })
  const beginning = begin(moved, kind, window)
  const wasStruck = await struckDuring(moved, beginning, () => Promise.resolve(!rig.controller.isRunning()))
  await strikes.plan(null)
  await ready(rig.service, rig.controller)
  return { operation: await untilEnded(moved, await beginning), wasStruck }
}

/** The controller is frozen after this step, something happens, and it goes on. Errors when it does not come to it. */
export async function moveFrozen(moved: Moved, strikes: Strikes, kind: Kind, step: Step, meanwhile: () => Promise<void>): Promise<Operation> {
  const before = await strikes.struck()
  await strikes.plan({ at: step, signal: 'SIGSTOP' })
  const beginning = begin(moved, kind)
  const wasStruck = await struckDuring(moved, beginning, async () => await strikes.struck() > before)
  await strikes.plan(null)
  assert.ok(wasStruck, `the ${kind} came to ${step.effect}`)
  await meanwhile().finally(() => moved.rig.controller.thaw())
  return beginning
}

/** False when the operation ended before. Whoever is struck answers nothing any more, not even that the operation began. */
async function struckDuring(moved: Moved, beginning: Promise<Operation>, isStruck: () => Promise<boolean>): Promise<boolean> {
  // a failure of it is met where it is waited for
  beginning.catch(() => undefined)
  const ended = beginning.then((begun) => untilEnded(moved, begun))
  let hasEnded = false
  ended.then(() => { hasEnded = true }, () => undefined)
  return until('the controller to be struck, or the operation to end', async () => {
    if (await isStruck()) return true
    return hasEnded ? false : new NotYet('neither')
  }, { limitMs, everyMs: 10 })
}

/** It succeeded, or the database is as before; and its customer writes on. */
export async function assertConsistent({ rig, customer }: Moved, watch: Watch, { kind, outcome, failure }: Operation): Promise<void> {
  const { instances } = await answerOf(rig.service.api.GET('/v1/databases/{id}', { params: { path: { id: customer.id } } }))
  const serving = instances.filter(({ role }) => role === 'serving').map((instance) => instance.kind)
  const isMoved = outcome === 'succeeded'
  assert.deepEqual(serving, [(kind === 'upgradeToHa') === isMoved ? 'cluster' : 'standalone'], `${kind} ${outcome} ${failure?.message ?? ''}`)
  await watch.writer.acknowledgedAfter(watch.writer.now(), limitMs)
  assert.deepEqual(watch.doubleWriters(), [])
}

/** Nothing acknowledged is missing, and nothing of the database is left when it is removed. */
export async function endMoved({ site, customer }: Moved, watch: Watch): Promise<string> {
  const { acked, lost, doubleWriters, errors } = await watch.end()
  assert.deepEqual({ lost, doubleWriters }, { lost: 0, doubleWriters: [] })
  await removeCluster(site, customer)
  return `${acked} acknowledged, all of them there; errors ${JSON.stringify(errors)}`
}
