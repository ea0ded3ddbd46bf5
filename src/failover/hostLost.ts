/**
 * The procedure for a leader whose host does not answer: its death cannot be known, and need not be. While `/sync` names the replicas,
 * every acknowledged commit is on each of them, and the transaction makes every later change of `/sync` by the old leader fail. The
 * block keeps replicas from confirming anything to it and from asking it for its opinion, and frees their race from waiting for it.
 *
 * The order of the steps is data: the explorer (`test/failover/explorer`) walks the same list. What each step is for: docs/failover.md.
 */
import type { ReleaseOutcome } from './release.ts'
import type { KeysToRelease } from './verdict.ts'

export type HostLostStep = 'read' | 'block' | 'see' | 'transact' | 'awaitWritable' | 'unblock'

export const firstStep: HostLostStep = 'read'

/** What comes after a step that went well, or did not. Null: it is over. Whatever happened after `block` began, `unblock` comes last. */
export function stepAfter(step: HostLostStep, wentWell: boolean): HostLostStep | null {
  switch (step) {
    // before the block, so that whatever a living leader does about it moves `/sync` and breaks the transaction
    case 'read':
      return wentWell ? 'block' : null
    case 'block':
      return wentWell ? 'see' : 'unblock'
    case 'see':
      return wentWell ? 'transact' : 'unblock'
    case 'transact':
      return wentWell ? 'awaitWritable' : 'unblock'
    // the old leader has to be able to rejoin, whoever leads now
    case 'awaitWritable':
      return 'unblock'
    case 'unblock':
      return null
  }
}

/** `reason`: null when it went well. */
export interface StepTold {
  readonly step: HostLostStep
  readonly reason: string | null
  readonly tookMs: number
}

export interface HostLostPorts {
  /** Judges anew from keys and answers of now: null when the verdict is another by now. */
  readonly read: (signal: AbortSignal) => Promise<KeysToRelease | null>
  /** Blocks every address of the lost host at this member, and ends what is open to them. The block ends by itself after 30 s. */
  readonly block: (member: string, signal: AbortSignal) => Promise<void>
  /** Throws unless this member is seen to be in recovery, to follow nobody, and to have no socket to the lost host. */
  readonly see: (member: string, signal: AbortSignal) => Promise<void>
  readonly release: (keys: KeysToRelease, signal: AbortSignal) => Promise<ReleaseOutcome>
  /** The member that was seen out of recovery and owns the key; null when that took too long. */
  readonly awaitWritable: (signal: AbortSignal) => Promise<string | null>
  readonly unblock: (member: string, signal: AbortSignal) => Promise<void>
  readonly describe: (error: unknown) => string
}

export interface HostLostOutcome {
  readonly steps: readonly StepTold[]
  readonly released: boolean
  readonly newLeader: string | null
}

/** From the first block on: well before `wal_sender_timeout` (3 s) lets a living leader do without its replicas. */
export const transactWithinMs = 2_000
const readWithinMs = 2_000
const awaitWithinMs = 15_000
const unblockWithinMs = 10_000

/** Never rejects. */
export async function runHostLost(others: readonly string[], ports: HostLostPorts, signal: AbortSignal): Promise<HostLostOutcome> {
  const steps: StepTold[] = []
  let keys: KeysToRelease | null = null
  let released = false
  let newLeader: string | null = null
  let deadline: AbortSignal = signal
  const everywhere = async (act: (member: string, limit: AbortSignal) => Promise<void>, limit: AbortSignal): Promise<void> => {
    // all of them even if one fails: a block that nobody takes back would keep that member from a leader that lives
    const results = await Promise.allSettled(others.map((member) => act(member, limit)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw new Error('not on every member', { cause: failed.reason })
  }
  const run: Readonly<Record<HostLostStep, () => Promise<void>>> = {
    read: async () => {
      keys = await ports.read(within(signal, readWithinMs))
      if (keys === null) throw new Error('the verdict is another by now')
    },
    block: () => {
      deadline = within(signal, transactWithinMs)
      return everywhere(ports.block, deadline)
    },
    see: () => everywhere(ports.see, deadline),
    transact: async () => {
      if (keys === null) throw new Error('nothing was read')
      const outcome = await ports.release(keys, deadline)
      if (outcome.kind !== 'released') throw new Error(outcome.kind === 'changed' ? 'the keys have changed' : `etcd did not say: ${outcome.reason}`)
      released = true
    },
    awaitWritable: async () => {
      newLeader = await ports.awaitWritable(within(signal, awaitWithinMs))
      if (newLeader === null) throw new Error('nobody was seen to take writes in time')
    },
    // not bounded by `signal`: it comes whatever ended the rest
    unblock: () => everywhere(ports.unblock, AbortSignal.timeout(unblockWithinMs)),
  }
  for (let step: HostLostStep | null = firstStep; step !== null;) {
    const startedAt = performance.now()
    const reason = await run[step]().then(() => null, (error: unknown) => ports.describe(error))
    steps.push({ step, reason, tookMs: Math.round(performance.now() - startedAt) })
    step = stepAfter(step, reason === null)
  }
  return { steps, released, newLeader }
}

function within(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)])
}
