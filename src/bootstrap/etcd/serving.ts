/** Whether a member serves: it knows a leader and has what the majority has. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EtcdClient } from '../../clients/etcd.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { hasLostData, type Member } from './member.ts'
import { endpointOf } from './place.ts'

export type Serving = 'serves' | 'lost' | 'silent'

const pollMs = 50
/** Asking the engine costs more than asking the member. */
const looksEvery = 10

export async function servingInTime(member: Member, client: EtcdClient, timeoutMs: number, signal: AbortSignal): Promise<Serving> {
  const deadline = performance.now() + timeoutMs
  for (let polls = 1; ; polls += 1) {
    if (await serves(member, client, signal)) return 'serves'
    if (polls % looksEvery === 0 && (await hasLostData(member, signal))) return 'lost'
    if (performance.now() > deadline) return 'silent'
    await sleep(pollMs, undefined, { signal })
  }
}

export async function serves({ place }: Member, client: EtcdClient, signal: AbortSignal): Promise<boolean> {
  const endpoint = endpointOf(place)
  try {
    if ((await client.cluster.status(endpoint, signal)).leaderId === null) return false
    await client.cluster.checkServing(endpoint, signal)
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof HoldfastError && error.code === 'EtcdUnavailable') return false
    throw error
  }
}
