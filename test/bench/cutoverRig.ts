/** One database at a time in an installation of its own, moved from its server to a cluster and back under the eyes of its clients. */
import { stopController } from '../../src/bootstrap/service.ts'
import { answerOf } from '../../src/client/problem.ts'
import type { ClientWindow } from '../../src/domain/action.ts'
import { memberPlaces, openHaProject, orderServer, removeCluster } from '../harness/ha/customer.ts'
import { serverPlaceOf, type MemberPlace, type ServerPlace } from '../harness/ha/members.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { settle } from './database.ts'
import { closeInstallation, openInstallation, restartController, type Installation, type Places } from './installation.ts'
import type { Say } from './runner.ts'
import { openClients, underClients, type Clients, type Measured } from './underClients.ts'
import { upgradeByHand } from './upgradeByHand.ts'

export type MoveKind = 'upgradeToHa' | 'rollback'

export interface Rig {
  readonly installation: Installation
  readonly site: Site
  readonly projectId: string
  database: Database | null
  made: number
}

/** Between two measurements the server serves, and a cluster follows it. */
interface Database extends Clients {
  readonly server: ServerPlace
  readonly members: readonly MemberPlace[]
}

const places: Places = {
  name: 'hfcutover', apiPort: 17_810, endpointPorts: '17820-17849', internalPorts: '17850-17899', networks: '10.221.0.0/16',
}
/** How long clients wait is what is measured: a machine that is busy must not make a move go back. */
const budgetMs = 15_000
const operationLimitMs = 240_000

export async function openRig(say: Say): Promise<Rig> {
  const installation = await openInstallation(places, say)
  const site = await openSite({ ...installation, api: installation.client })
  return { installation, site, projectId: await openHaProject(site), database: null, made: 0 }
}

export async function closeRig({ installation }: Rig): Promise<void> {
  await closeInstallation(installation, places)
}

export async function measureMove(rig: Rig, kind: MoveKind, say: Say, window: ClientWindow = 'hold'): Promise<Measured> {
  const database = (rig.database ??= await makeDatabase(rig, say))
  return move(rig, database, watchedOf(database), kind, say, window)
}

/** Its database is removed afterwards: no controller knows of what was done to it. */
export async function measureByHand(rig: Rig, say: Say): Promise<Measured> {
  const database = (rig.database ??= await makeDatabase(rig, say))
  const { installation, site } = rig
  await settle(installation, database.customer)
  // it would start whom somebody else stops
  await stopController(installation.config)
  const measured = await underClients(site, database, watchedOf(database), () => upgradeByHand(site, database.customer.id, database))
  tell(measured, say)
  await restartController(installation, places)
  await removeCluster(site, database.customer)
  rig.database = null
  return measured
}

/**
 * Moved there and back before anything counts: observers cannot stand by members that are still to be made, and what is done by hand
 * begins with a cluster that follows, too. A row that this loses is missing in every measurement after it.
 */
async function makeDatabase(rig: Rig, say: Say): Promise<Database> {
  const { installation, site, projectId } = rig
  rig.made += 1
  say('making a database and moving it there and back, which does not count yet')
  const customer = await orderServer(site, projectId, { name: `shop-${rig.made}` })
  const clients = await openClients(customer)
  await settle(installation, customer)
  await move(rig, clients, [], 'upgradeToHa', say)
  const database = { ...clients, server: await serverPlaceOf(site, customer.id), members: await memberPlaces(site, customer.id) }
  await move(rig, clients, watchedOf(database), 'rollback', say)
  return database
}

function watchedOf({ server, members }: Database): readonly ServerPlace[] {
  return [server, ...members]
}

async function move({ installation, site }: Rig, clients: Clients, watched: readonly ServerPlace[], kind: MoveKind, say: Say, window: ClientWindow = 'hold'): Promise<Measured> {
  await settle(installation, clients.customer)
  const measured = await underClients(site, clients, watched, () => perform(site, clients.customer.id, kind, window))
  tell(measured, say)
  return measured
}

function tell({ told, gaps, seen }: Measured, say: Say): void {
  const rounded = Object.entries(gaps).map(([name, gap]) => `${name} ${Math.round(gap)} ms`)
  say(`  ${told}: ${rounded.join(', ')}; ${JSON.stringify(seen)}`)
}

/** What it says of itself. */
async function perform({ api }: Site, databaseId: string, kind: MoveKind, window: ClientWindow): Promise<string> {
  const { id } = await answerOf(api.POST('/v1/databases/{id}/operations', { params: { path: { id: databaseId } }, body: { kind, budgetMs, window } }))
  return until(`${kind} to end`, async () => {
    const { outcome, phase, waitingFor, failure, progress } = await answerOf(api.GET('/v1/operations/{id}', { params: { path: { id } } }))
    if (outcome === null) return new NotYet(`${phase} ${waitingFor ?? ''}`)
    if (outcome !== 'succeeded') throw new Error(`${kind} ended ${outcome}: ${failure?.message ?? ''}`)
    return `${kind} ${window} ${JSON.stringify(progress)}`
  }, { limitMs: operationLimitMs })
}
