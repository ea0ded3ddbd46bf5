/**
 * Whether two members ever acknowledged commits made in the same interval. A reign is what one member acknowledged on one
 * timeline, from the start of its first acknowledged commit to the start of its last one; two reigns of different members must
 * not overlap. Starts count and not ends: a commit of the former leader whose replicas confirmed it in time is good, however
 * late its acknowledgement arrives. All times come from the servers, which share one machine's clock.
 */

export interface Commit {
  readonly memberId: string
  readonly timeline: number
  /** By the server's clock, ms: when the statement ran that was acknowledged later. */
  readonly startedAt: number
}

export interface DoubleWriter {
  readonly members: readonly [string, string]
  readonly timelines: readonly [number, number]
  /** By the servers' clock, ms. */
  readonly from: number
  readonly to: number
}

interface Reign {
  readonly memberId: string
  readonly timeline: number
  first: number
  last: number
}

export function doubleWriters(commits: readonly Commit[]): readonly DoubleWriter[] {
  const reigns = reignsOf(commits).toSorted((left, right) => left.first - right.first)
  return reigns.flatMap((earlier, index) => reigns.slice(index + 1).flatMap((later): readonly DoubleWriter[] => {
    if (later.memberId === earlier.memberId || later.first > earlier.last) return []
    return [{
      members: [earlier.memberId, later.memberId], timelines: [earlier.timeline, later.timeline],
      from: later.first, to: Math.min(earlier.last, later.last),
    }]
  }))
}

function reignsOf(commits: readonly Commit[]): readonly Reign[] {
  const reigns = new Map<string, Reign>()
  for (const { memberId, timeline, startedAt } of commits) {
    const key = `${memberId}/${timeline}`
    const reign = reigns.get(key)
    if (reign === undefined) reigns.set(key, { memberId, timeline, first: startedAt, last: startedAt })
    else {
      reign.first = Math.min(reign.first, startedAt)
      reign.last = Math.max(reign.last, startedAt)
    }
  }
  return [...reigns.values()]
}
