/** The fence helper in a member's pod: blocks the addresses of a lost host there, and takes the block back. It ends by itself. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { GuardEngine } from './ports.ts'

const helper = '/usr/libexec/holdfast/fence'
/** A controller that dies leaves no block behind for longer. */
export const blockSeconds = 30
const execMs = 1_500

/** `left`: sockets to the address that are still open. `connect`: what a connection to it met. */
const blockedSchema = z.object({ left: z.int(), connect: z.string() })
const undoneSchema = z.object({ undone: z.int() })

/** Throws unless every address is blocked, no socket to it is left, and connecting to it fails at once. */
export async function block(engine: GuardEngine, pod: string, addresses: readonly string[], signal: AbortSignal): Promise<void> {
  for (const address of addresses) {
    const { left, connect } = blockedSchema.parse(await runHelper(engine, pod, ['block', address, String(blockSeconds)], signal))
    if (left === 0 && connect !== 'connected') continue
    throw new HoldfastError('Internal', `The pod ${pod} did not block ${address}`, { facts: { pod, address, left, connect } })
  }
}

/** Nothing to take back is success. */
export async function unblock(engine: GuardEngine, pod: string, addresses: readonly string[], signal: AbortSignal): Promise<void> {
  for (const address of addresses) undoneSchema.parse(await runHelper(engine, pod, ['undo', address], signal))
}

/** Of a guard that died: how many there were. */
export async function unblockAll(engine: GuardEngine, pod: string, signal: AbortSignal): Promise<number> {
  return undoneSchema.parse(await runHelper(engine, pod, ['undo', 'all'], signal)).undone
}

async function runHelper(engine: GuardEngine, pod: string, argv: readonly string[], signal: AbortSignal): Promise<unknown> {
  // root there has CAP_NET_ADMIN, and nobody else has
  const { exitCode, stdout, stderr } = await engine.exec(pod, [helper, ...argv], { timeoutMs: execMs, user: '0' }, signal)
  if (exitCode !== 0) throw new HoldfastError('Internal', `The fence helper of ${pod} failed (${exitCode}): ${stderr.slice(0, 200)}`, { facts: { pod } })
  return JSON.parse(stdout)
}
