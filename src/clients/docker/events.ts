/** The engine's event stream as values. It ends when the connection does; whoever reads it connects again and lists anew. */
import { createInterface } from 'node:readline'
import { z } from 'zod'
import type { Transport } from './transport.ts'

export interface EngineEvent {
  readonly type: 'container' | 'volume' | 'network'
  /** Such as `start`, `die`, `destroy`, `health_status: healthy`. */
  readonly action: string
  /** Of a volume: its name. */
  readonly id: string
  readonly name: string
  /** Labels of containers are among them, and `exitCode` of `die`. */
  readonly attributes: Readonly<Record<string, string>>
  /** Nanoseconds since 1970, rounded to what a double holds (256 ns). */
  readonly timeNano: number
}

export interface EventFilter {
  readonly labels?: Readonly<Record<string, string>>
  readonly types?: readonly EngineEvent['type'][]
  /** Sends what happened since then first, as far as the engine remembers (its last 256 events or so). Nanoseconds since 1970. */
  readonly sinceNano?: number
  /** Called when the stream stands. A listing made after it misses nothing, if `sinceNano` lies before the connection. */
  readonly onOpen?: () => void
}

const eventSchema = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()).nullish() }),
  timeNano: z.number(),
})
const typeSchema = z.enum(['container', 'volume', 'network'])

/** A peer that vanished without a word is noticed by the kernel after this. */
const keepAliveMs = 15_000

/** Resolves when the connection has ended; rejects with the abort reason, or with `EngineUnreachable` when it cannot begin. */
export async function followEvents(
  transport: Transport,
  filter: EventFilter,
  onEvent: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const filters = {
    type: filter.types ?? typeSchema.options,
    label: Object.entries(filter.labels ?? {}).map(([name, value]) => `${name}=${value}`),
  }
  const query = { filters, ...(filter.sinceNano === undefined ? {} : { since: (filter.sinceNano / 1e9).toFixed(9) }) }
  const body = await transport.stream({ method: 'GET', path: '/events', query }, signal)
  body.socket.setKeepAlive(true, keepAliveMs)
  filter.onOpen?.()
  try {
    for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
      const event = parseEvent(line)
      if (event !== null) onEvent(event)
    }
  } catch (error) {
    // A connection that breaks has merely ended; anything else is the listener's own.
    if (body.errored === null) throw error
  } finally {
    body.destroy()
  }
  signal.throwIfAborted()
}

function parseEvent(line: string): EngineEvent | null {
  // An empty line keeps the connection alive; half a line is what a broken connection leaves.
  if (!line.endsWith('}')) return null
  const { Type, Action, Actor, timeNano } = eventSchema.parse(JSON.parse(line))
  const type = typeSchema.safeParse(Type)
  if (!type.success) return null
  const attributes = Actor.Attributes ?? {}
  const name = type.data === 'volume' ? Actor.ID : (attributes['name'] ?? '')
  return { type: type.data, action: Action, id: Actor.ID, name, attributes, timeNano }
}
