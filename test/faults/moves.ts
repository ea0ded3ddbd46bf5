/** A database that is moved from one server to a cluster and back, with a customer who writes and an observer at each of its servers. */
import assert from 'node:assert/strict'
import { answerOf } from '../../src/client/problem.ts'
import type { Operation } from '../../src/client/schema.ts'
import { memberPlaces, openHaProject, orderServer, removeCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import { serverPlaceOf, type ServerPlace } from '../harness/ha/members.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import { NotYet } from '../harness/waiting.ts'
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

export const otherWay = (kind: Kind): Kind => (kind === 'upgradeToHa' ? 'rollback' : 'upgradeToHa')

/** One server, backed up. */
export async function openMoved(rig: Rig, name: string): Promise<Moved> {
  const site = await openSite(rig.service)
  const customer = await orderServer(site, await openHaProject(site), { name })
  await rig.service.noteSecret(`password of ${name}`, customer.login.password)
  await untilClusterSettled(site, customer.id, limitMs)
  return { rig, site, customer }
}

/** Every server that the database has by now: an observer cannot stand by one that is still to be made. */
export async function watchAll({ site, customer }: Moved): Promise<Watch> {
  const places: readonly ServerPlace[] = [await serverPlaceOf(site, customer.id), ...await memberPlaces(site, customer.id)]
  return startWatch(site, customer, places, { withHistory: false })
}

/** Asked for again and again: what an earlier move left goes first. */
export async function begin({ rig, customer }: Moved, kind: Kind, budget = budgetMs): Promise<Operation> {
  return eventually(`the ${kind} to begin`, async () => {
    const { data, error } = await rig.service.api.POST('/v1/databases/{id}/operations', { params: { path: { id: customer.id } }, body: { kind, budgetMs: budget } })
    return data ?? new NotYet(JSON.stringify(error))
  }, limitMs)
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

export interface Struck {
  readonly operation: Operation
  readonly wasStruck: boolean
}

/** The controller dies after this step, if it comes to it, and another one goes on with what it finds. */
export async function moveStruck(moved: Moved, strikes: Strikes, kind: Kind, step: Step): Promise<Struck> {
  const { rig } = moved
  await strikes.plan(step)
  const begun = await begin(moved, kind)
  const wasStruck = await eventually('the controller to be killed, or the operation to end', async () => {
    if (!rig.controller.isRunning()) return true
    const { outcome, phase } = await lookAt(moved, begun.id)
    return outcome === null ? new NotYet(phase) : !rig.controller.isRunning()
  }, limitMs)
  await strikes.plan(null)
  await ready(rig.service, rig.controller)
  return { operation: await untilEnded(moved, begun), wasStruck }
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
