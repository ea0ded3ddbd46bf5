/** Which fault strikes when: all of it follows from the seed, so that a run can be repeated. */
import type { Random } from '../faults/random.ts'
import { aroundFaults } from '../harness/ha/aroundFaults.ts'
import type { Strike } from '../harness/ha/fault.ts'
import { memberFaults, type MemberFault } from '../harness/ha/memberFaults.ts'

export interface Planned {
  readonly kind: string
  readonly strike: Strike
}

export interface Round {
  readonly first: Planned
  /** Strikes so long after the first, while its consequences go on. */
  readonly second: (Planned & { readonly afterMs: number }) | null
  /** How long what does not end by itself is left as it is. */
  readonly holdMs: number
  /** Of peace, before the next round. */
  readonly restMs: number
}

const secondOneIn = 3
const longestBetweenMs = 10_000
const hold = { from: 3_000, to: 25_000 }
const rest = { from: 500, to: 4_000 }
/** Takes one of the three copies for good: with another of its kind at once no promise holds. */
const takesCopy = /VolumeRemoved/

export function nextRound(random: Random): Round {
  const first = pick(random, allFaults)
  const others = allFaults.filter(({ kind }) => kind !== first.kind && !(takesCopy.test(kind) && takesCopy.test(first.kind)))
  const hasSecond = random.between(1, secondOneIn) === 1
  const second = pick(random, others)
  const afterMs = random.between(0, longestBetweenMs)
  return {
    first, second: hasSecond ? { ...second, afterMs } : null,
    holdMs: random.between(hold.from, hold.to), restMs: random.between(rest.from, rest.to),
  }
}

function pick<T>(random: Random, all: readonly T[]): T {
  const chosen = all[random.between(0, all.length - 1)]
  if (chosen === undefined) throw new Error('there is nothing to choose from')
  return chosen
}

export const allFaults: readonly Planned[] = [
  ...Object.entries<MemberFault>(memberFaults).flatMap(([name, fault]) => [ofLeader(name, fault), ofReplica(name, fault)]),
  ...Object.entries<Strike>(aroundFaults).map(([kind, strike]) => ({ kind, strike })),
]

function ofLeader(name: string, fault: MemberFault): Planned {
  const kind = `leader${name}`
  return { kind, strike: async (stage, { leader }) => ({ kind, target: leader.name, ...await fault(stage, leader) }) }
}

function ofReplica(name: string, fault: MemberFault): Planned {
  const kind = `replica${name}`
  return {
    kind,
    strike: async (stage, { replicas: [replica] }) => {
      if (replica === undefined) throw new Error('the cluster has no replica')
      return { kind, target: replica.name, ...await fault(stage, replica) }
    },
  }
}
