/**
 * Ends one run of one container and proves it: killed by id, then inspected by id until the engine says that it does not run, or has
 * told so by an event, which comes a fifth of a second sooner. A container that was started again in the meantime is another run,
 * about which nothing was judged: it is left alone.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineClient } from '../clients/docker.ts'
import { describeError } from '../domain/errors.ts'
import type { ContainerEvents } from './ports.ts'
import type { Run } from './verdict.ts'

export type FenceEngine = Pick<EngineClient, 'findContainer' | 'killContainer'>

export type FenceOutcome =
  /** The run is over: the engine says so of this id. `state` `gone`: it knows the id no more. */
  | { readonly kind: 'dead'; readonly containerId: string; readonly startedAt: string | null; readonly state: string; readonly tookMs: number }
  | { readonly kind: 'anotherRun'; readonly startedAt: string | null }
  | { readonly kind: 'notProved'; readonly reason: string }

const askMs = 1_000
const pollMs = 10
const killedMs = 5_000

export async function fence({ engine, events }: { readonly engine: FenceEngine; readonly events: ContainerEvents }, run: Run, signal: AbortSignal): Promise<FenceOutcome> {
  const over = new AbortController()
  const endListening = events(({ id, action, at }) => {
    // of this run or of a later one: this one is over either way
    if (action === 'die' && id === run.containerId && run.startedAt !== null && at.getTime() >= Date.parse(run.startedAt)) over.abort()
  })
  try {
    return await killUntilDead(engine, run, over.signal, signal)
  } finally {
    endListening()
  }
}

async function killUntilDead(engine: FenceEngine, run: Run, over: AbortSignal, signal: AbortSignal): Promise<FenceOutcome> {
  const startedAt = performance.now()
  const limit = AbortSignal.any([signal, AbortSignal.timeout(killedMs)])
  const until = AbortSignal.any([limit, over])
  let reason = 'the engine was not asked'
  let isKilled = false
  while (!limit.aborted) {
    try {
      const seen = await engine.findContainer(run.containerId, asking(until))
      if (seen === null) return dead(run, 'gone', startedAt)
      const seenStart = seen.startedAt?.toISOString() ?? null
      if (seenStart !== run.startedAt) return { kind: 'anotherRun', startedAt: seenStart }
      if (seen.state === 'exited' || seen.state === 'dead') return dead(run, seen.state, startedAt)
      reason = `the engine says ${seen.state}`
      // a paused container is killed as well: the engine thaws it with the signal pending
      if (!isKilled) await engine.killContainer(run.containerId, 'SIGKILL', asking(until))
      isKilled = true
    } catch (error) {
      reason = describeError(error)
    }
    await sleep(pollMs, undefined, { signal: until }).catch(() => undefined)
    if (over.aborted) return dead(run, 'exited', startedAt)
  }
  return { kind: 'notProved', reason }
}

function dead({ containerId, startedAt }: Run, state: string, since: number): FenceOutcome {
  return { kind: 'dead', containerId, startedAt, state, tookMs: Math.round(performance.now() - since) }
}

function asking(limit: AbortSignal): AbortSignal {
  return AbortSignal.any([limit, AbortSignal.timeout(askMs)])
}
