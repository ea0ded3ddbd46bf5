/** One cluster at a time in an installation of its own, with or without the guard; struck, measured, and whole again before the next run. */
import { setTimeout as sleep } from 'node:timers/promises'
import { asCustomer, memberPlaces, openHaProject, orderCluster, removeCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import type { Strike } from '../harness/ha/fault.ts'
import { untilWhole, type MemberPlace } from '../harness/ha/members.ts'
import { startPooled, type PooledClient } from '../harness/pooled.ts'
import { openSite, type Site } from '../harness/ha/site.ts'
import { startWatch } from '../harness/ha/watch.ts'
import { closeInstallation, openInstallation, restartController, type Installation, type Places } from './installation.ts'
import type { Seen } from './report.ts'
import type { Say } from './runner.ts'

export interface Rig {
  readonly installation: Installation
  readonly site: Site
  readonly projectId: string
  guard: boolean
  cluster: Cluster | null
  made: number
}

interface Cluster {
  readonly durability: 'strict' | 'quorum'
  readonly customer: ClusterCustomer
  readonly places: readonly MemberPlace[]
}

const places: Places = {
  name: 'hffailover', apiPort: 17_610, endpointPorts: '17620-17649', internalPorts: '17650-17699', networks: '10.219.0.0/16',
}
const wholeLimitMs = 240_000
const settledLimitMs = 240_000
/** The writer's pace before the fault: connections warm, statements prepared. */
const warmUpMs = 2_000
/** What a fault brings about begins within this time: a frozen replica is noticed when the next row waits for it. */
const observedMs = 6_000
const steadyLimitMs = 90_000

export async function openRig(say: Say): Promise<Rig> {
  const installation = await openInstallation(places, say)
  const site = await openSite({ ...installation, api: installation.client })
  return { installation, site, projectId: await openHaProject(site), guard: true, cluster: null, made: 0 }
}

export async function closeRig({ installation }: Rig): Promise<void> {
  await closeInstallation(installation, places)
}

export async function goTo(rig: Rig, { durability, guard }: { readonly durability: 'strict' | 'quorum'; readonly guard: boolean }, say: Say): Promise<void> {
  if (rig.cluster !== null && rig.cluster.durability !== durability) {
    await removeCluster(rig.site, rig.cluster.customer)
    rig.cluster = null
  }
  if (rig.guard !== guard) {
    say(`the guard is turned ${guard ? 'on' : 'off'}`)
    await restartController(rig.installation, { ...places, settings: { HOLDFAST_FAILOVER_GUARD: guard ? 'true' : 'false' } })
    rig.guard = guard
  }
  rig.cluster ??= await makeCluster(rig, durability, say)
}

async function makeCluster(rig: Rig, durability: 'strict' | 'quorum', say: Say): Promise<Cluster> {
  rig.made += 1
  say(`making a cluster, ${durability}`)
  const customer = await orderCluster(rig.site, rig.projectId, { name: `shop-${rig.made}`, durability })
  const members = await memberPlaces(rig.site, customer.id)
  await untilWhole(rig.site, members, wholeLimitMs)
  return { durability, customer, places: members }
}

export interface Measured {
  readonly gapMs: number
  /** Of a client of the pool that keeps its one session and writes. */
  readonly pooled: { readonly gapMs: number; readonly errors: number }
  readonly seen: Seen
}

export async function strikeAndMeasure(rig: Rig, strike: Strike, say: Say, { withPool }: { readonly withPool: boolean }): Promise<Measured> {
  const { site, cluster } = rig
  if (cluster === null) throw new Error('there is no cluster to strike')
  await untilClusterSettled(site, cluster.customer.id, settledLimitMs)
  const whole = await untilWhole(site, cluster.places, wholeLimitMs)
  const watch = await startWatch(site, cluster.customer, cluster.places, { withHistory: false })
  const pooled = withPool ? await writeThroughPool(cluster.customer) : null
  try {
    const { writer } = watch
    await writer.acknowledgedAfter(writer.now(), steadyLimitMs)
    await sleep(warmUpMs)
    const struckAt = writer.now()
    const fault = await strike({ site, databaseId: cluster.customer.id, places: cluster.places, controller: null }, whole)
    await sleep(observedMs)
    await writer.acknowledgedAfter(writer.now(), steadyLimitMs)
    const gapMs = writer.gapSince(struckAt)
    await fault.end()
    await untilWhole(site, cluster.places, wholeLimitMs)
    const healedMs = Math.round(writer.now() - struckAt)
    const { acked, warned, lost, doubleWriters, errors } = await watch.end()
    const pool = { gapMs: pooled?.longestGapMs ?? 0, errors: pooled?.errors.length ?? 0 }
    if (pooled !== null) say(`  through the pool: gap ${Math.round(pool.gapMs)} ms, ${pooled.answers} answers, errors ${JSON.stringify(pooled.errors)}`)
    say(`  ${fault.target}: gap ${Math.round(gapMs)} ms, whole after ${healedMs} ms, ${acked} acknowledged, ${warned} with a warning, ${lost} lost, ${JSON.stringify(errors)}`)
    return { gapMs, pooled: pool, seen: { acked, lost, doubleWriters: doubleWriters.length, errors } }
  } finally {
    await Promise.all([watch.stop(), pooled?.stop()])
  }
}

async function writeThroughPool({ pooled }: ClusterCustomer): Promise<PooledClient> {
  await asCustomer(pooled, (client) => client.query('create table if not exists through_pool (id bigint generated always as identity)'))
  return startPooled(pooled, 'insert into through_pool default values')
}
