/**
 * What was just changed in the world: one message on the channel `holdfast:effect` of `node:diagnostics_channel` after each call that may have
 * changed something, before anybody acts on its answer. For tracers, and for whoever wants to know what happens when this process ends between
 * two effects. It says what was done and never to what value, and the product itself does not listen.
 */
import { channel } from 'node:diagnostics_channel'

export interface Effect {
  readonly on: 'docker' | 'etcd' | 'patroni' | 'postgres' | 'proxy' | 'store'
  /** The same words whenever the same is done: no ids, no values. */
  readonly what: string
}

const effects = channel('holdfast:effect')

export function effectDone(on: Effect['on'], what: string): void {
  if (effects.hasSubscribers) effects.publish({ on, what } satisfies Effect)
}
