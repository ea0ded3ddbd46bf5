/**
 * How long clients wait while their database moves from one server to a cluster, and back: the longest time between two answers of those
 * who write or read every few milliseconds, directly and through the pool; and, for comparison, when an operator does the upgrade by hand.
 * Whatever was acknowledged is read back after every move.
 */
import { docker } from './byHand.ts'
import { closeRig, measureByHand, measureMove, openRig, type MoveKind, type Rig } from './cutoverRig.ts'
import type { CaseResult, Goal, Series } from './report.ts'
import { runBench, type Bench, type Experiment, type RunOptions } from './runner.ts'
import type { LaneName, Measured } from './underClients.ts'

interface Case {
  readonly name: string
  readonly lane: LaneName
  readonly goal: Goal
}

const noGoal: Goal = { median: null, max: null }
/** A run by hand needs a database of its own, which takes a minute and a half. */
const byHandRuns = 3
const readOnlyRuns = 5

const upgrades: readonly Case[] = [
  { name: 'upgradeWrite', lane: 'write', goal: { median: 750, max: 1_500 } },
  { name: 'upgradeRead', lane: 'read', goal: { median: 700, max: null } },
  { name: 'upgradePooled', lane: 'pooled', goal: { median: 750, max: 1_500 } },
  { name: 'upgradeReadOnlyPort', lane: 'readOnlyPort', goal: { median: 100, max: 300 } },
]
const rollbacks: readonly Case[] = [
  { name: 'rollbackWrite', lane: 'write', goal: { median: 350, max: 1_000 } },
  { name: 'rollbackRead', lane: 'read', goal: { median: 350, max: null } },
  { name: 'rollbackPooled', lane: 'pooled', goal: { median: 350, max: 1_000 } },
  { name: 'rollbackReadOnlyPort', lane: 'readOnlyPort', goal: { median: 100, max: 300 } },
]
/** What the window `readOnly` is for, and what it costs writers. */
const upgradesReading: readonly Case[] = [
  { name: 'readOnlyUpgradeRead', lane: 'read', goal: { median: 150, max: null } },
  { name: 'readOnlyUpgradeWrite', lane: 'write', goal: noGoal },
]
const rollbacksReading: readonly Case[] = [
  { name: 'readOnlyRollbackRead', lane: 'read', goal: { median: 150, max: null } },
  { name: 'readOnlyRollbackWrite', lane: 'write', goal: noGoal },
]
/** By hand nobody is led anywhere before the server stops: readers of the other port have no way of their own. */
const upgradesByHand = upgrades.filter(({ lane }) => lane !== 'readOnlyPort')

/** Each move is the way to the next one's beginning, and a sample of every client's. */
const thereAndBack: Experiment<Rig> = {
  series: [...upgrades, ...rollbacks].map(({ name, goal }): Series => ({ case: name, variant: 'holdfast', unit: 'ms', goal })),
  async sample(rig, say) {
    const measure = async (kind: MoveKind, cases: readonly Case[]): Promise<Sampled> => samplesOf(cases, await measureMove(rig, kind, say))
    const [there, back] = [await measure('upgradeToHa', upgrades), await measure('rollback', rollbacks)]
    return { numbers: [...there.numbers, ...back.numbers], seen: [...there.seen, ...back.seen] }
  },
  judge: (results) => results.map((one) => ({ ...one, met: one.met && isGentle(one) })),
}

/** Reads go on at the follower while clients are moved. */
const readsGoOn: Experiment<Rig> = {
  series: [...upgradesReading, ...rollbacksReading].map(({ name, goal }): Series => ({ case: name, variant: 'holdfast', unit: 'ms', goal })),
  mostRuns: readOnlyRuns,
  async sample(rig, say) {
    const there = samplesOf(upgradesReading, await measureMove(rig, 'upgradeToHa', say, 'readOnly'))
    const back = samplesOf(rollbacksReading, await measureMove(rig, 'rollback', say, 'readOnly'))
    return { numbers: [...there.numbers, ...back.numbers], seen: [...there.seen, ...back.seen] }
  },
}

const byHand: Experiment<Rig> = {
  series: upgradesByHand.map(({ name }): Series => ({ case: name, variant: 'byHand', unit: 'ms', goal: noGoal })),
  mostRuns: byHandRuns,
  async sample(rig, say) {
    return samplesOf(upgradesByHand, await measureByHand(rig, say))
  },
}

type Sampled = ReturnType<typeof samplesOf>

function samplesOf(cases: readonly Case[], { gaps, seen }: Measured) {
  return { numbers: cases.map(({ lane }) => gaps[lane]), seen: cases.map(({ lane }) => seen[lane]) }
}

/** Nobody who connects is turned away, a pooled client sees no error at all, and a direct one the end of its session. */
function isGentle({ case: name, samples, errors }: CaseResult): boolean {
  const count = Object.values(errors).reduce((sum, one) => sum + one, 0)
  const isTurnedAway = Object.keys(errors).some((code) => code.startsWith('connect:'))
  return !isTurnedAway && count <= (name.endsWith('Pooled') ? 0 : samples.length)
}

const bench: Bench<Rig> = {
  name: 'cutover',
  experiments: [thereAndBack, readsGoOn, byHand],
  open: openRig,
  close: closeRig,
  engineOf: () => docker(['version', '--format', 'Docker {{.Server.Version}}']),
}

export function run(options: RunOptions): Promise<number> {
  return runBench(bench, options)
}
