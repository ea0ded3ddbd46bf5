/** Which hosts a new database gets: pure, from what every host carries already. */
import type { Host } from './desired.ts'
import { HoldfastError } from './errors.ts'

export interface HostLoad {
  readonly host: Host
  /** Members on it, of all databases. */
  readonly members: number
}

export interface Placement {
  /** By ordinal: on as many hosts as there are, the ones with the fewest members first. */
  readonly members: readonly Host[]
  /** By slot. The second proxy is on another host where there is one, so that losing a host leaves one. */
  readonly proxies: readonly [Host, Host]
}

/** The active hosts with the fewest members; among equals the first by name, so that the same input gives the same answer. */
export function place(loads: readonly HostLoad[], memberCount: number): Placement {
  const hosts = loads
    .filter(({ host }) => host.state === 'active')
    .toSorted((a, b) => a.members - b.members || compare(a.host.name, b.host.name))
    .map(({ host }) => host)
  const [first, second = first] = hosts
  if (first === undefined || second === undefined) {
    throw new HoldfastError('NoCapacity', 'No host takes new databases now.', { next: 'Add a host, or make a draining one active again.' })
  }
  return { members: Array.from({ length: memberCount }, (_, index) => hosts[index % hosts.length] ?? first), proxies: [first, second] }
}

/** By code unit: a locale must not decide where data lies. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
