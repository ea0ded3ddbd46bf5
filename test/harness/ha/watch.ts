/** Everybody who watches a cluster during faults: writer, observers, history; and what they say at the end. */
import type { Anomaly } from './anomalies.ts'
import { asCustomer, type ClusterCustomer } from './customer.ts'
import { startHistory, type History } from './history.ts'
import type { ServerPlace } from './members.ts'
import { startObservers, type Observers } from './observers.ts'
import type { Site } from './site.ts'
import { doubleWriters, type DoubleWriter } from './twoWriters.ts'
import { startWriter, type Writer } from './writer.ts'

export interface Watch {
  readonly writer: Writer
  readonly observers: Observers
  /** What can be said while they go on; a double writer is one at any time. */
  doubleWriters(): readonly DoubleWriter[]
  /** Everybody stops; what was acknowledged has to be there. */
  end(): Promise<Findings>
  /** Without findings: for a suite that has failed already. */
  stop(): Promise<void>
}

export interface Findings {
  readonly acked: number
  readonly warned: number
  /** The writer's and the observers'. */
  readonly lost: number
  readonly doubleWriters: readonly DoubleWriter[]
  readonly anomalies: readonly Anomaly[]
  readonly errors: Readonly<Record<string, number>>
  readonly steps: number
}

/** Reading back hundreds of thousands of rows. */
const readLimitMs = 120_000

export async function startWatch(site: Site, customer: ClusterCustomer, places: readonly ServerPlace[], { withHistory = true } = {}): Promise<Watch> {
  const observers = await asCustomer(customer.readWrite, (owner) => startObservers(site, places, owner))
  const writer = await startWriter(customer.readWrite)
  const history: History | null = withHistory ? await startHistory(customer.readWrite) : null
  const stop = async (): Promise<void> => void (await Promise.all([writer.stop(), observers.stop(), history?.stop()]))
  return {
    writer, observers, stop,
    doubleWriters: () => doubleWriters(observers.commits),
    async end() {
      await stop()
      const { acked, warned, errors } = writer.tally()
      const lost = await asCustomer(customer.readWrite, async (reader) => (await writer.lost(reader)).length + (await observers.lost(reader)), readLimitMs)
      const anomalies = history === null ? [] : await asCustomer(customer.readWrite, (reader) => history.anomalies(reader), readLimitMs)
      return { acked: acked + observers.commits.length, warned, lost, errors, doubleWriters: doubleWriters(observers.commits), anomalies, steps: history?.steps() ?? 0 }
    },
  }
}
