/**
 * How long a customer of a cluster cannot write when something breaks: from the last acknowledged row before to the first one
 * after, with the failover guard and, for comparison, with Patroni alone. What was acknowledged is read back after every run.
 */
import { answerOf } from '../../src/client/problem.ts'
import { etcdLeader } from '../harness/ha/etcd.ts'
import type { Fault, Stage, Strike } from '../harness/ha/fault.ts'
import { memberFaults, type MemberFault } from '../harness/ha/memberFaults.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { docker } from './byHand.ts'
import { closeRig, goTo, openRig, strikeAndMeasure, type Rig } from './failoverRig.ts'
import type { Goal } from './report.ts'
import { runBench, type Bench, type Experiment, type RunOptions } from './runner.ts'

interface Case {
  readonly name: string
  readonly goal: Goal
  readonly durability?: 'strict' | 'quorum'
  readonly strike: Strike
}

const operationLimitMs = 60_000
const noGoal: Goal = { median: null, max: null }
/** Patroni alone is there to be compared with; a run of it takes half a minute and more. */
const plainRuns = 3

const cases: readonly Case[] = [
  { name: 'leaderKilled', goal: { median: 600, max: 1_500 }, strike: leader(memberFaults.ContainerKilled) },
  { name: 'postmasterKilled', goal: { median: 1_500, max: 2_500 }, strike: leader(memberFaults.PostmasterKilled) },
  { name: 'leaderFrozen', goal: { median: 2_000, max: 3_500 }, strike: leader(memberFaults.ContainerPaused) },
  { name: 'leaderPatroniFrozen', goal: { median: 3_000, max: 5_000 }, strike: leader(memberFaults.PatroniFrozen) },
  { name: 'replicaKilled', goal: { median: 700, max: 1_500 }, strike: replica(memberFaults.ContainerKilled) },
  { name: 'replicaFrozenStrict', goal: { median: 2_500, max: 4_000 }, strike: replica(memberFaults.ContainerPaused) },
  { name: 'switchover', goal: { median: 1_000, max: 2_000 }, strike: switchOver },
  { name: 'leaderAndEtcdLeaderKilled', goal: { median: 2_000, max: 4_000 }, strike: killLeaderAndEtcdLeader },
  { name: 'replicaFrozenQuorum', goal: { median: 0, max: 300 }, durability: 'quorum', strike: replica(memberFaults.ContainerPaused) },
]

function leader(fault: MemberFault): Strike {
  return async (stage, whole) => ({ kind: 'leader', target: whole.leader.name, ...await fault(stage, whole.leader) })
}

function replica(fault: MemberFault): Strike {
  return async (stage, { replicas: [first] }) => {
    if (first === undefined) throw new Error('the cluster has no replica')
    return { kind: 'replica', target: first.name, ...await fault(stage, first) }
  }
}

async function switchOver({ site: { api }, databaseId }: Stage): Promise<Fault> {
  const params = { path: { id: databaseId } }
  const { id } = await answerOf(api.POST('/v1/databases/{id}/operations', { params, body: { kind: 'switchover' } }))
  await until('the switchover to end', async () => {
    const { outcome, phase, waitingFor, failure } = await answerOf(api.GET('/v1/operations/{id}', { params: { path: { id } } }))
    if (outcome === 'failed') throw new Error(`the switchover failed: ${failure?.message ?? ''}`)
    return outcome === 'succeeded' ? true : new NotYet(`${phase} ${waitingFor ?? ''}`)
  }, { limitMs: operationLimitMs })
  return { kind: 'switchover', target: databaseId, end: () => Promise.resolve() }
}

async function killLeaderAndEtcdLeader(stage: Stage, whole: { readonly leader: { readonly container: string; readonly name: string } }): Promise<Fault> {
  const { docker: engine } = stage.site
  const etcd = (await etcdLeader(stage.site)).container
  await Promise.all([engine.getContainer(whole.leader.container).kill(), engine.getContainer(etcd).kill()])
  return { kind: 'leader', target: `${whole.leader.name} and ${etcd}`, end: () => engine.getContainer(etcd).start().catch(alreadyRuns) }
}

/** Somebody else may have started it by now. */
function alreadyRuns(error: unknown): void {
  if (!(error instanceof Error && 'statusCode' in error && error.statusCode === 304)) throw error
}

function experimentOf({ name, goal, durability = 'strict', strike }: Case, variant: 'holdfast' | 'plain'): Experiment<Rig> {
  return {
    series: [{ case: name, variant, unit: 'ms', goal: variant === 'holdfast' ? goal : noGoal }],
    ...(variant === 'plain' && { mostRuns: plainRuns }),
    async sample(rig, say) {
      await goTo(rig, { durability, guard: variant === 'holdfast' }, say)
      const { gapMs, seen } = await strikeAndMeasure(rig, strike, say, { withPool: false })
      return { numbers: [gapMs], seen: [seen] }
    },
  }
}

/** What a client of the pool notices of a planned move: a longer answer, and never an error. */
const pooledSwitchover: Experiment<Rig> = {
  series: [
    { case: 'switchoverPooled', variant: 'holdfast', unit: 'ms', goal: { median: 1_000, max: 2_000 } },
    { case: 'switchoverPooledErrors', variant: 'holdfast', unit: 'errors', goal: { median: 0, max: 0 } },
  ],
  async sample(rig, say) {
    await goTo(rig, { durability: 'strict', guard: true }, say)
    const { pooled, seen } = await strikeAndMeasure(rig, switchOver, say, { withPool: true })
    return { numbers: [pooled.gapMs, pooled.errors], seen: [seen, seen] }
  },
}

const bench: Bench<Rig> = {
  name: 'failover',
  // guard and durability change rarely in this order, and each change takes a while
  experiments: [
    ...strictCases().map((one) => experimentOf(one, 'holdfast')), pooledSwitchover,
    ...strictCases().map((one) => experimentOf(one, 'plain')),
    ...quorumCases().map((one) => experimentOf(one, 'plain')), ...quorumCases().map((one) => experimentOf(one, 'holdfast')),
  ],
  open: openRig,
  close: closeRig,
  engineOf: () => docker(['version', '--format', 'Docker {{.Server.Version}}']),
}

function strictCases(): readonly Case[] {
  return cases.filter(({ durability }) => durability !== 'quorum')
}

function quorumCases(): readonly Case[] {
  return cases.filter(({ durability }) => durability === 'quorum')
}

export function run(options: RunOptions): Promise<number> {
  return runBench(bench, options)
}
