/**
 * The duty that keeps the installation's certificate authority alive: looks which step of a roll-over is next and takes it.
 * One step a run: what it changes is looked at again before the next.
 */
import type { Clock } from '../domain/ports.ts'
import type { Validity } from '../domain/validity.ts'
import { rolloverStep, type RolloverFacts, type RolloverStep } from '../planner/authority.ts'
import type { AuthorityRecord, Store } from '../store/store.ts'
import type { Duty } from './duties.ts'

export interface AuthorityRolloverOptions {
  readonly store: {
    readonly certificates: Pick<Store['certificates'], 'trusted' | 'inUse' | 'addAuthority' | 'activate' | 'removeAuthority'>
    readonly queue: Pick<Store['queue'], 'everythingSettled'>
  }
  readonly clock: Clock
  readonly everySeconds: number
  /** A new authority, known to nobody yet. */
  readonly create: (now: Date) => Promise<AuthorityRecord>
  readonly validityOf: (certificatePem: string) => Validity
  readonly onStep: (kind: RolloverStep['kind'], authorityId: string) => void
}

/** Statements of milliseconds and one key. */
const timeoutSeconds = 60

export function authorityRollover(options: AuthorityRolloverOptions): Duty {
  const { clock, everySeconds, onStep } = options
  return {
    name: 'authority', everySeconds, timeoutSeconds,
    async run() {
      const now = clock.now()
      const step = rolloverStep(await look(options), now)
      if (step !== null) onStep(step.kind, await take(options, step, now))
    },
  }
}

/** In this order: what settled before an authority was announced says nothing about it, and a change of them wakes everything. */
async function look({ store, validityOf }: AuthorityRolloverOptions): Promise<RolloverFacts> {
  const trusted = await store.certificates.trusted()
  const authorities = trusted.map(({ id, state, certificatePem }) => ({ id, state, ...validityOf(certificatePem) }))
  const inUse = await store.certificates.inUse()
  return { authorities, inUse, everythingSettled: await store.queue.everythingSettled() }
}

/** Gives the id of the authority that it was about. */
async function take({ store: { certificates }, create }: AuthorityRolloverOptions, step: RolloverStep, now: Date): Promise<string> {
  switch (step.kind) {
    case 'announce': {
      const successor = await create(now)
      await certificates.addAuthority(successor)
      return successor.id
    }
    case 'switch':
      await certificates.activate(step.authorityId)
      return step.authorityId
    case 'retire':
      await certificates.removeAuthority(step.authorityId)
      return step.authorityId
  }
}
