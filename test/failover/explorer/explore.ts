/** Walks every state that can be reached, breadth first, and stops at the first in which an acknowledged write is lost. */
import { blockEnds, guardSteps, type GuardPlan } from './guard.ts'
import { canonical, steps, type Step, type World } from './patroni.ts'
import { beginning, nobody, type State } from './state.ts'

export interface Exploration {
  readonly states: number
  /** Whether in any of them nobody held the key. */
  readonly released: boolean
  /** The steps to a lost write; null when there is none. */
  readonly lost: readonly string[] | null
}

export interface ExplorationOptions {
  readonly world: World
  readonly guards: readonly GuardPlan[]
  /** How often etcd is written in one run: a lost write needs four, after the first. */
  readonly mostRevisions: number
}

/** Acknowledged by L, and the promoted member does not have it. */
function isLost(state: State): boolean {
  return state.get('promoted') === 1 && state.get('acked') === 1
}

export function explore({ world, guards, mostRevisions }: ExplorationOptions): Exploration {
  const start = beginning(mostRevisions)
  const queue: State[] = [start]
  /** Of each state in the queue how it was reached: the place of the state before, and the step. */
  const from: number[] = [-1]
  const by: string[] = ['']
  const reached = new Set([start.key])
  let released = false
  for (let index = 0; index < queue.length; index += 1) {
    const state = queue[index]
    if (state === undefined) break
    for (const step of allSteps(state, world, guards)) {
      const next = canonical(step.state)
      const { key } = next
      if (reached.has(key)) continue
      reached.add(key)
      queue.push(next)
      from.push(index)
      by.push(step.name)
      released ||= next.keys().owner === nobody
      if (isLost(next)) return { states: reached.size, released, lost: pathTo(queue.length - 1, from, by) }
    }
  }
  return { states: reached.size, released, lost: null }
}

function* allSteps(state: State, world: World, guards: readonly GuardPlan[]): Generator<Step> {
  if (isSettled(state)) return
  yield* steps(state, world)
  yield* blockEnds(state, world)
  for (const [index, plan] of guards.entries()) yield* guardSteps(state, world, plan, index === 0 ? 1 : 2)
}

/** Nothing can be lost any more: L has acknowledged nothing and will not. */
function isSettled(state: State): boolean {
  const isSilenced = (state.get('stoppedL') === 1 && state.get('downL') !== 1) || state.get('downL') === 2
  return isSilenced && state.get('acked') === 0
}

function pathTo(end: number, from: readonly number[], by: readonly string[]): string[] {
  const path: string[] = []
  for (let at = end; at > 0; at = from[at] ?? 0) path.unshift(by[at] ?? '')
  return path
}
