/** Rounds of faults against one cluster, until the time is up; everything made is taken away at the end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { remains } from '../faults/census.ts'
import type { Random } from '../faults/random.ts'
import { openRig, ready } from '../faults/rig.ts'
import { memberPlaces, openHaProject, orderCluster, removeCluster, untilClusterSettled } from '../harness/ha/customer.ts'
import type { Fault, Stage } from '../harness/ha/fault.ts'
import { untilWhole, type Whole } from '../harness/ha/members.ts'
import { openSite } from '../harness/ha/site.ts'
import { startWatch, type Watch } from '../harness/ha/watch.ts'
import type { Endings } from '../harness/endings.ts'
import { diagnose } from './diagnosis.ts'
import { reportOf, type ChaosReport, type StruckFault } from './report.ts'
import { nextRound, type Planned, type Round } from './schedule.ts'

export interface ChaosOptions {
  readonly minutes: number
  readonly random: Random
  readonly say: (line: string) => void
  readonly told: AbortSignal
}

/** By which the firewall knows what the controller sends; nobody on a machine has it. */
export const controllerGid = 39_417
/** A replica that waits for WAL that nobody has is given three minutes before it is made anew; then it copies everything. */
export const healLimitMs = 300_000
const settleLimitMs = 240_000
const writeLimitMs = 60_000

export async function runChaos(options: ChaosOptions, ending: Endings): Promise<ChaosReport> {
  const { say, random, minutes, told } = options
  const rig = await openRig(ending, { gid: controllerGid })
  const { service, controller } = rig
  const site = await openSite(service)
  const customer = await orderCluster(site, await openHaProject(site), { name: 'chaos', storageBytes })
  const places = await memberPlaces(site, customer.id)
  await untilWhole(site, places, healLimitMs)
  await untilClusterSettled(site, customer.id, settleLimitMs)
  const watch = await startWatch(site, customer, places)
  ending.after(() => watch.stop())
  const stage: Stage = { site, databaseId: customer.id, places, controller }
  const faults: StruckFault[] = []
  const unhealed: string[] = []
  const began = performance.now()
  while (performance.now() - began < minutes * 60_000 && !told.aborted && unhealed.length === 0) {
    const struck = await playRound({ stage, watch, round: nextRound(random), began, say })
    faults.push(...struck.faults)
    if (struck.failure !== null) unhealed.push(struck.failure)
  }
  const findings = await watch.end()
  await ready(service, controller)
  await removeCluster(site, customer)
  return reportOf({ seed: random.seed, minutes, faults, unhealed, leaks: await remains(rig), findings })
}

/** Small enough that a full disk is soon full. */
const storageBytes = 1024 * 1024 * 1024

interface Play {
  readonly stage: Stage
  readonly watch: Watch
  readonly round: Round
  readonly began: number
  readonly say: (line: string) => void
}

export async function playRound({ stage, watch, round, began, say }: Play): Promise<{ readonly faults: readonly StruckFault[]; readonly failure: string | null }> {
  const whole = await untilWhole(stage.site, stage.places, healLimitMs)
  const struck: { readonly fault: Fault; readonly at: number }[] = []
  const strikeOne = async (planned: Planned): Promise<void> => {
    const fault = await strike(stage, whole, planned, say)
    if (fault !== null) struck.push({ fault, at: performance.now() })
  }
  const moment = watch.writer.now()
  await strikeOne(round.first)
  if (round.second !== null) {
    await sleep(round.second.afterMs)
    await strikeOne(round.second)
  }
  await sleep(round.holdMs)
  const ends = await Promise.allSettled(struck.map(({ fault }) => fault.end()))
  for (const end of ends) if (end.status === 'rejected') say(`  a fault could not be taken back: ${String(end.reason)}`)
  const failure = await heal(stage, watch)
  if (failure !== null) await diagnose(stage, say)
  const healedAt = performance.now()
  const faults = struck.map(({ fault, at }): StruckFault => ({
    atMs: Math.round(at - began), kind: fault.kind, target: fault.target, healedMs: failure === null ? Math.round(healedAt - at) : null,
  }))
  const names = faults.map(({ kind, target }) => `${kind} ${target}`).join(', then ')
  const double = watch.doubleWriters().length
  say(`${Math.round((healedAt - began) / 1_000)} s: ${names}: longest gap ${Math.round(watch.writer.gapSince(moment))} ms, held ${round.holdMs} ms, ${failure ?? 'whole'}${double > 0 ? `, DOUBLE WRITERS ${double}` : ''}`)
  await sleep(round.restMs)
  return { faults, failure: failure === null ? null : `${names}: ${failure}` }
}

/** One that cannot be done, because an earlier one took its target away, is told and left out. */
async function strike(stage: Stage, whole: Whole, { kind, strike: act }: Planned, say: (line: string) => void): Promise<Fault | null> {
  try {
    return await act(stage, whole)
  } catch (error) {
    say(`  ${kind} could not be done: ${String(error)}`)
    return null
  }
}

async function heal({ site, places }: Stage, { writer }: Watch): Promise<string | null> {
  try {
    await untilWhole(site, places, healLimitMs)
    await writer.acknowledgedAfter(writer.now(), writeLimitMs)
    return null
  } catch (error) {
    return String(error)
  }
}
