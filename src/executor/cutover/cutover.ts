/**
 * Moves the clients of a database from one of its instances to the other, which follows it. What must hold, in both directions:
 *   1. whoever served is kept from taking writes before it is stopped, whatever starts it later: the standalone by a fence on its disk,
 *      the cluster by its paused Patroni, and from the decision on by being told to follow;
 *   2. the other one is promoted only when the control file of whoever served says that it was shut down, and all of its WAL was received,
 *      the shutdown checkpoint included: nothing acknowledged can be missing;
 *   3. of going on and going back only one happens (decision.ts), and whoever served is let loose only after going back has won;
 *   4. whoever dies in between leaves clients held for seconds at most, and what is left to do is found by looking (`settle`).
 */
import type { Action } from '../../domain/action.ts'
import type { Desired } from '../../domain/desired.ts'
import { describeError, HoldfastError } from '../../domain/errors.ts'
import type { ActionResult } from '../../domain/ports.ts'
import { readDecision, writeDecision, type Decision } from './decision.ts'
import type { CutoverTools } from './places.ts'
import { Rollback } from './rollback.ts'
import { Session } from './session.ts'
import { Upgrade } from './upgrade.ts'

export type CutOver = Extract<Action, { readonly kind: 'cutOver' }>

/** For a promotion, once the budget is spent well; after that the proxies let everybody go by themselves. */
const promotionMs = 5_000
/** Checkpoints of a busy server take long once, and little when they are asked for again. What is left of the pass is for what comes after. */
const prepareMs = 15_000
/** From the decision on: a promotion takes half a second, on a busy machine some. */
const onMs = 30_000
const backMs = 40_000

/** One direction. Each step may be cut off anywhere, and is done again by somebody else. */
export interface Way {
  /** Whether it was decided to go on: there is only forward then. */
  isDecided(decision: Decision): boolean
  /** Changes the decision so that it is not the one any more that somebody may still want to go on from. */
  readonly back: (decision: Decision) => Readonly<Record<string, unknown>>
  /** Nothing of it is noticed by anybody. The rest: when clients are held, until going on is decided. Errors: also when `limit` aborts. */
  prepare(limit: AbortSignal): Promise<Window>
  /** Clients are at the other instance when it returns. */
  goOn(limit: AbortSignal): Promise<void>
  /** After clients were let go, or found to have been: what the former one needs to follow. Its system identifier. */
  afterwards(limit: AbortSignal): Promise<string>
  /** Nobody was promoted, and nobody will be: clients are where they were when it returns. `back`: what that was decided by. */
  goBack(back: Decision, limit: AbortSignal): Promise<void>
}

/** Holds clients, `forMs` at most, and stops whoever serves. Null when going on was decided; otherwise it throws. */
export type Window = (forMs: number, budget: AbortSignal, beforeDeciding: () => void) => Promise<void>

type Outcome =
  | { readonly kind: 'moved'; readonly systemIdentifier: string; readonly pauseMs: number | null; readonly steps: Readonly<Record<string, number>> }
  /** `unnoticed`: nobody was held. */
  | { readonly kind: 'wentBack'; readonly reason: string; readonly pauseMs: number | null; readonly unnoticed: boolean }

export async function cutOver(tools: CutoverTools, order: CutOver, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const session = new Session(tools, order, desired, signal)
  const isUpgrade = desired.instances.some(({ id, kind }) => id === order.fromId && kind === 'standalone')
  const cutover = new Cutover(session, isUpgrade ? new Upgrade(session) : new Rollback(session))
  try {
    const outcome = order.settleOnly ? await cutover.settle(null, 'the controller that moved the clients ended in the middle of it', false) : await cutover.run()
    return { records: [{ kind: 'operationNoted', operationId: order.operationId, notes: { outcome } }] }
  } finally {
    session.end()
  }
}

class Cutover {
  readonly #session: Session
  readonly #way: Way

  constructor(session: Session, way: Way) {
    this.#session = session
    this.#way = way
  }

  async run(): Promise<Outcome> {
    const { order: { budgetMs } } = this.#session
    let heldAt: number | null = null
    try {
      const window = await this.#way.prepare(this.#session.within(prepareMs))
      const begun = performance.now()
      heldAt = begun
      this.#session.hold()
      await window(budgetMs + promotionMs, this.#session.within(budgetMs), () => {
        if (performance.now() - begun > budgetMs) throw new HoldfastError('Conflict', `clients would have waited for longer than ${budgetMs} ms`)
      })
      return await this.#goOn(heldAt)
    } catch (error) {
      return await this.settle(heldAt, describeError(error), heldAt === null)
    }
  }

  /** Brings whatever was begun to an end. Errors when it cannot be known what was: then nothing is done, and it is asked again. */
  async settle(heldAt: number | null, reason: string, unnoticed: boolean): Promise<Outcome> {
    const { tools: { etcd, installation }, places: { scope }, signal } = this.#session
    for (;;) {
      const decision = await readDecision(etcd, installation, scope, signal)
      if (this.#way.isDecided(decision)) return this.#goOn(heldAt)
      const limit = this.#session.within(backMs)
      const back = await writeDecision(etcd, installation, scope, decision, this.#way.back(decision), limit)
      if (back === null) continue
      await this.#way.goBack(back, limit)
      return { kind: 'wentBack', reason, pauseMs: since(heldAt), unnoticed }
    }
  }

  /** Only forward: somebody may take writes already. */
  async #goOn(heldAt: number | null): Promise<Outcome> {
    await this.#way.goOn(this.#session.within(onMs))
    const pauseMs = since(heldAt)
    const { steps } = this.#session
    return { kind: 'moved', systemIdentifier: await this.#way.afterwards(this.#session.within(onMs)), pauseMs, steps }
  }
}

function since(heldAt: number | null): number | null {
  return heldAt === null ? null : Math.round(performance.now() - heldAt)
}
