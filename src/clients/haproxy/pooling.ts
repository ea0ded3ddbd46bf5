/**
 * What a proxy does for its clients during planned changes: see `pooler.lua` and `await-restart.lua` among its templates. Whoever asks may
 * die: the proxy itself ends a pause after seven seconds, a spared server gets readers again after fifteen, and a restart is awaited no
 * longer than that.
 */
import { HoldfastError } from '../../domain/errors.ts'
import { runtimeCommand, type RuntimeAddress, type RuntimeConnection } from '../haproxy.ts'
import { applyRoutingAnd, type RoutingStep } from './routing.ts'

/**
 * `paused`: nobody is in a transaction, and the pool has let go of its servers. `busy`: transactions were still open when the time was
 * over; nobody new gets in, and it is paused as soon as they have ended.
 */
export type PoolPause = 'paused' | 'busy'

/**
 * Of the leader's pool, for `forMs` at most (seven seconds by default). Waits for open transactions for `budgetMs` at most. Errors: `MemberUnreachable` when the proxy cannot be asked,
 * `Internal` when its pool refuses; either may be paused all the same.
 */
export async function pausePool(address: RuntimeAddress, budgetMs: number, signal?: AbortSignal, forMs?: number): Promise<PoolPause> {
  const limit = forMs === undefined ? '' : ` ${milliseconds(forMs)}`
  return outcomeOf(address, `holdfast pause ${milliseconds(budgetMs)}${limit}`, ['paused', 'busy'], budgetMs, signal)
}

/** One that is not paused is left alone. Errors: as `pausePool`. */
export async function resumePool(address: RuntimeAddress, signal?: AbortSignal): Promise<void> {
  await outcomeOf(address, 'holdfast resume', ['resumed', 'was not paused'], 0, signal)
}

/** Newcomers of this server wait, and so does the pool, for `forMs` at most: `hold` of the routing and `pausePool` over one connection. Errors: as of both. */
export async function holdClients(address: RuntimeAddress, server: string, budgetMs: number, forMs: number, signal?: AbortSignal, connection?: RuntimeConnection): Promise<PoolPause> {
  const command = `holdfast pause ${milliseconds(budgetMs)} ${milliseconds(forMs)}`
  const answer = await applyRoutingAnd(patient(address, budgetMs), [{ kind: 'hold', server, forMs }], command, signal, connection)
  return known<PoolPause>(address, command, ['paused', 'busy'], answer)
}

/** Routing, and then the end of the pause, over one connection. Errors: as of both. */
export async function leadClients(address: RuntimeAddress, steps: readonly RoutingStep[], signal?: AbortSignal, connection?: RuntimeConnection): Promise<void> {
  const command = 'holdfast resume'
  known(address, command, ['resumed', 'was not paused'], await applyRoutingAnd(address, steps, command, signal, connection))
}

/** Readers of the pool that were still in a transaction at that server when the time was over are `busy`; they meet its end. */
export type Spared = 'spared' | 'busy'

/** No new readers for this server, and those of the pool leave it between two transactions. Errors: as `pausePool`. */
export async function spareReads(address: RuntimeAddress, server: string, budgetMs: number, signal?: AbortSignal): Promise<Spared> {
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(server)) throw new RangeError(`not the name of a server: ${JSON.stringify(server.slice(0, 80))}`)
  return outcomeOf(address, `holdfast spare ${server} ${milliseconds(budgetMs)}`, ['spared', 'busy'], budgetMs, signal)
}

/** In front of a standalone that is about to be stopped, to come back. `busy`: open transactions meet its end; everybody else waits. Errors: as `pausePool`. */
export async function awaitRestart(address: RuntimeAddress, budgetMs: number, signal?: AbortSignal): Promise<'waiting' | 'busy'> {
  return outcomeOf(address, `holdfast restart ${milliseconds(budgetMs)}`, ['waiting', 'busy'], budgetMs, signal)
}

async function outcomeOf<T extends string>(address: RuntimeAddress, command: string, outcomes: readonly T[], budgetMs: number, signal?: AbortSignal): Promise<T> {
  return known(address, command, outcomes, await runtimeCommand(patient(address, budgetMs), command, signal))
}

/** A statement for each of three pools at most, and before it as long for the pool's own logins. */
function patient(address: RuntimeAddress, budgetMs: number): RuntimeAddress {
  return { ...address, timeoutMs: address.timeoutMs + 6 * budgetMs }
}

function known<T extends string>(address: RuntimeAddress, command: string, outcomes: readonly T[], answer: string): T {
  const outcome = outcomes.find((one) => one === answer)
  if (outcome !== undefined) return outcome
  throw new HoldfastError('Internal', `The proxy on ${address.host}:${address.port} did not carry out "${command}": ${answer.slice(0, 300)}`)
}

function milliseconds(value: number): number {
  return Math.max(1, Math.round(value))
}
