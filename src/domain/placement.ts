/** Which hosts a new database gets: pure, from what every host carries already. */
import type { Host } from './desired.ts'
import { HoldfastError } from './errors.ts'

export interface HostLoad {
  readonly host: Host
  /** Members on it, of all databases. */
  readonly members: number
}

export interface Placement {
  readonly member: Host
  /** By slot. The second proxy is on another host where there is one, so that losing a host leaves one. */
  readonly proxies: readonly [Host, Host]
}

/** The active host with the fewest members; among equals the first by name, so that the same input gives the same answer. */
export function place(loads: readonly HostLoad[]): Placement {
  const [first, second] = loads
    .filter(({ host }) => host.state === 'active')
    .toSorted((a, b) => a.members - b.members || compare(a.host.name, b.host.name))
    .map(({ host }) => host)
  if (first === undefined) {
    throw new HoldfastError('NoCapacity', 'No host takes new databases now.', { next: 'Add a host, or make a draining one active again.' })
  }
  return { member: first, proxies: [first, second ?? first] }
}

/** By code unit: a locale must not decide where data lies. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
