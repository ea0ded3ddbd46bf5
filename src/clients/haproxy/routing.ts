/**
 * Tells a running proxy where a cluster's leader is before its own checks find out. Whatever is said here is said of a server's
 * health, which the checks go on to correct: a controller that dies after half of it leaves nothing behind.
 */
import { HoldfastError } from '../../domain/errors.ts'
import { openRuntime, type RuntimeAddress, type RuntimeConnection } from '../haproxy.ts'

/** Servers are called as Patroni calls the members. */
export type RoutingStep =
  /** Of the read-write port. `up`: takes clients from this moment; `stopping`: no new ones; `down`: none. The next checks decide anew. */
  | { readonly kind: 'setHealth'; readonly server: string; readonly health: 'up' | 'stopping' | 'down' }
  /** New clients of it wait, for four seconds at most; its sessions stay. `admit` ends that. See await-server.lua. */
  | { readonly kind: 'hold' | 'admit'; readonly server: string; readonly forMs?: number }
  /** Of the read-write port: a server that does not lead takes clients, for `forMs` at most, and its checks are not asked. `return` ends that. See lend-server.lua. */
  | { readonly kind: 'lend'; readonly server: string; readonly forMs: number }
  | { readonly kind: 'return'; readonly server: string }
  /** Of a server that no check looks after: whether it takes clients at all. */
  | { readonly kind: 'setState'; readonly backend: 'be_rw' | 'be_ro'; readonly server: string; readonly state: 'ready' | 'maint' }

/**
 * The member is dead, or is being ended: new clients wait. Its sessions end with it, and at the latest when another one leads; ending
 * them here would leave those hanging that are just being connected.
 */
export function leaderGone(server: string): readonly RoutingStep[] {
  return [{ kind: 'hold', server }]
}

/** The member was not ended after all: whoever waits is let in. */
export function leaderStays(server: string): readonly RoutingStep[] {
  return [{ kind: 'admit', server }]
}

/**
 * The member was seen out of recovery: clients that wait are let in, and the other members get none. Sessions on those have ended with
 * their Postgres, or end when the checks find them down; ending them here would leave those hanging that are just being connected.
 */
export function leaderIs(server: string, others: readonly string[]): readonly RoutingStep[] {
  return [
    ...others.map((other): RoutingStep => ({ kind: 'setHealth', server: other, health: 'stopping' })),
    { kind: 'setHealth', server, health: 'up' },
    { kind: 'admit', server },
  ]
}

/**
 * All steps in their order, over one connection. Errors: `MemberUnreachable` when the proxy cannot be asked, `Internal` when it
 * refuses one of them; the others are carried out all the same. `connection`: one that was opened ahead of time.
 */
export async function applyRouting(address: RuntimeAddress, steps: readonly RoutingStep[], signal?: AbortSignal, connection?: RuntimeConnection): Promise<void> {
  if (steps.length === 0) return
  await askAll(address, steps, null, signal, connection)
}

/** As `applyRouting`, and then one more command, whose answer is the last line. One connection, because each costs a handshake. */
export async function applyRoutingAnd(address: RuntimeAddress, steps: readonly RoutingStep[], command: string, signal?: AbortSignal, connection?: RuntimeConnection): Promise<string> {
  return askAll(address, steps, command, signal, connection)
}

async function askAll(address: RuntimeAddress, steps: readonly RoutingStep[], last: string | null, signal?: AbortSignal, connection?: RuntimeConnection): Promise<string> {
  const ready = connection?.usable === true ? connection : openRuntime(address)
  const answer = await ready.ask([...steps.map(commandOf), ...(last === null ? [] : [last])].join('; '), signal)
  const lines = answer.split('\n').map((line) => line.trim()).filter((line) => line !== '')
  const outcome = last === null ? '' : lines.pop() ?? ''
  if (lines.length === 0) return outcome
  throw new HoldfastError('Internal', `HAProxy on ${address.host}:${address.port} refuses a change of routing: ${lines.join('; ').slice(0, 300)}`)
}

function commandOf(step: RoutingStep): string {
  switch (step.kind) {
    case 'setHealth':
      return `set server be_rw/${named(step.server)} health ${step.health}`
    case 'hold':
    case 'admit':
      return `holdfast ${step.kind} ${named(step.server)}${step.forMs === undefined ? '' : ` ${Math.round(step.forMs)}`}`
    case 'lend':
      return `holdfast lend ${named(step.server)} ${Math.max(1, Math.round(step.forMs))}`
    case 'return':
      return `holdfast return ${named(step.server)}`
    case 'setState':
      return `set server ${step.backend}/${named(step.server)} state ${step.state}`
  }
}

/** Never the text of a second command. */
function named(server: string): string {
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(server)) throw new RangeError(`not the name of a server: ${JSON.stringify(server.slice(0, 80))}`)
  return server
}
