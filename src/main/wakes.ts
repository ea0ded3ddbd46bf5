/**
 * Hears wakes that other controllers and the API wrote: LISTEN on a connection of its own, made again when it breaks.
 * A notification that is missed costs at most the loop's longest nap.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { once } from 'node:events'
import type pg from 'pg'

const channel = 'holdfast_wake'
const reconnectMs = 1_000

/** Resolves after the signal was aborted. */
export async function listenForWakes(connect: () => pg.Client, onWake: () => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const client = connect()
    // the same end is heard by `once` below; without a listener it would end the process
    client.on('error', () => undefined)
    client.on('notification', onWake)
    try {
      await client.connect()
      await client.query(`listen ${channel}`)
      onWake()
      await once(client, 'end', { signal })
    } catch {
      // away, or told to stop: the loop's own question of the queue reports a control database that is away
    } finally {
      await client.end().catch(() => undefined)
    }
    await sleep(reconnectMs, undefined, { signal }).catch(() => undefined)
  }
}
