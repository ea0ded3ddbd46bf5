/**
 * Brings one long-lived container to its blueprint: make, start, replace, or leave alone.
 * Never decides about data: volumes are the members' concern.
 */
import type { Blueprint } from '../domain/blueprint.ts'
import { label } from '../domain/names.ts'
import type { ContainerSeen } from '../domain/observed.ts'
import { act, block, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf } from '../domain/reading.ts'

/** Exit code of a service that refuses to start by its own guard (fence marker, empty volume); sysexits' EX_CONFIG. */
export const refusedExitCode = 78

/** Seconds that a serving container gets to end by itself: PostgreSQL's fast shutdown writes a checkpoint. */
const stopTimeoutSeconds = 60

const soonMs = 250
const laterMs = 2_000

export type ContainerPlan =
  | { readonly running: ContainerSeen; readonly part: Part }
  | { readonly running: null; readonly part: Part }

export function planContainer(input: PlanInput, blueprint: Blueprint, what: string): ContainerPlan {
  const engine = engineOf(input.observed, blueprint.hostId)
  if (!engine.known) return { running: null, part: waitFor(`${what}: its host cannot be seen (${engine.reason})`, laterMs) }
  const seen = containerNamed(engine.value, blueprint.name)
  if (seen === undefined) return { running: null, part: making(blueprint, what) }
  if (seen.labels[label.spec] !== blueprint.specHash && seen.state !== 'created') return replacing(seen, blueprint, what)
  return keeping(seen, blueprint, what)
}

function making(blueprint: Blueprint, what: string): Part {
  return merge([act({ kind: 'createContainer', blueprint }), waitFor(`${what} to be made`, soonMs)])
}

/** Stop gracefully first, remove when it is seen stopped, and only then make it anew: three passes, each looked at. */
function replacing(seen: ContainerSeen, blueprint: Blueprint, what: string): ContainerPlan {
  const target = { hostId: blueprint.hostId, containerId: seen.id, name: seen.name }
  const wait = waitFor(`${what} to be replaced with its new settings`, soonMs)
  switch (seen.state) {
    case 'running':
    case 'restarting':
      return { running: null, part: merge([act({ kind: 'stopContainer', ...target, timeoutSeconds: stopTimeoutSeconds }), wait]) }
    case 'created':
    case 'exited':
    case 'dead':
      return { running: null, part: merge([act({ kind: 'removeContainer', ...target }), wait]) }
    case 'paused':
      return { running: null, part: pausedByHand(seen, what) }
    case 'removing':
      return { running: null, part: leaving(seen, what) }
  }
}

function keeping(seen: ContainerSeen, blueprint: Blueprint, what: string): ContainerPlan {
  switch (seen.state) {
    case 'running':
      return { running: seen, part: nothing }
    case 'created':
      // made, but its maker died before it was started: files may be missing, so it is made again
      return { running: null, part: making(blueprint, what) }
    case 'exited':
    case 'dead':
      return { running: null, part: hasRefused(seen) ? refused(seen, what) : starting(seen, blueprint, what) }
    case 'restarting':
      // the engine tries again and again, each time longer apart; what refuses by its own guard refuses every time
      return { running: null, part: hasRefused(seen) ? refused(seen, what) : leaving(seen, what) }
    case 'paused':
      return { running: null, part: pausedByHand(seen, what) }
    case 'removing':
      return { running: null, part: leaving(seen, what) }
  }
}

function starting(seen: ContainerSeen, blueprint: Blueprint, what: string): Part {
  const start = { kind: 'startContainer', hostId: blueprint.hostId, containerId: seen.id, name: seen.name } as const
  return merge([act(start), waitFor(`${what} to be started again`, soonMs)])
}

function leaving(seen: ContainerSeen, what: string): Part {
  return waitFor(`${what} to leave the state "${seen.state}"`, laterMs)
}

function pausedByHand(seen: ContainerSeen, what: string): Part {
  return block('ContainerPaused', `${what} is paused on its engine; unpause container ${seen.name} to go on.`)
}

function hasRefused(seen: ContainerSeen): boolean {
  return seen.exitCode === refusedExitCode
}

function refused(seen: ContainerSeen, what: string): Part {
  return block('StartRefused', `${what} refused to start (exit code ${refusedExitCode}): its volume carries a fence, other data or none. The logs of container ${seen.name} say which; mend it and start the container by hand, or restore the database from its latest backup.`)
}
