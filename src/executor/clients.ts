/** The clients of a database while its only server is replaced: they wait at its endpoint instead of erring. */
import { awaitRestart } from '../clients/haproxy/pooling.ts'
import type { StoreRecord } from '../domain/action.ts'
import type { Desired, Proxy } from '../domain/desired.ts'
import { describeError } from '../domain/errors.ts'
import type { ActionResult } from '../domain/ports.ts'
import { proxiesInUse } from '../domain/reading.ts'
import type { PostgresTools } from './postgres.ts'
import { runtimeAddress } from './proxies.ts'

const tellMs = 2_000
/** For open transactions to end: everybody else waits as long. */
const budgetMs = 300

/** Of a proxy that cannot be told clients see what they see when a server dies: that is an event, and never keeps anything from being done. */
export async function holdClients(tools: Pick<PostgresTools, 'identity'>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const { endpoint } = desired
  if (endpoint === null) return { records: [] }
  const told = await Promise.all(proxiesInUse(desired, endpoint).map(async (proxy) => {
    try {
      await awaitRestart(runtimeAddress(tools, desired, endpoint, proxy, tellMs), budgetMs, signal)
      return []
    } catch (error) {
      signal.throwIfAborted()
      return [notHeld(desired, proxy, describeError(error))]
    }
  }))
  return { records: told.flat() }
}

function notHeld({ database }: Desired, { slot }: Proxy, why: string): StoreRecord {
  const message = `Clients of ${database.name} may see an error while its server is replaced: proxy ${slot} could not be told to hold them (${why}).`
  return { kind: 'event', note: { severity: 'warning', reason: 'ClientsNotHeld', message, facts: { slot } } }
}
