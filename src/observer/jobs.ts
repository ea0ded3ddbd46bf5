/** What jobs say of themselves: their progress while they run, their result once they have ended. */
import type { EngineClient } from '../clients/docker.ts'
import type { JobSeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import { known, type Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import type { Gate } from './gate.ts'
import { progressIn, resultIn } from './jobLines.ts'
import { runOf, type FoundJob } from './parts.ts'

const progressFreshMs = 500
const logsTimeoutMs = 5_000
/** More than a job writes after its result, or between two lines of progress. */
const tailLines = 100

export class Jobs {
  readonly #clock: Clock
  readonly #gate: Gate
  readonly #answers: Answers<JobSeen>

  constructor(clock: Clock, gate: Gate) {
    this.#clock = clock
    this.#gate = gate
    this.#answers = new Answers(clock)
  }

  see({ id, container }: FoundJob, engine: Pick<EngineClient, 'logs'>): Promise<Sighting<JobSeen>> {
    const { state } = container
    const hasEnded = state === 'exited' || state === 'dead'
    if (!hasEnded && state !== 'running' && state !== 'paused') {
      return Promise.resolve(known({ container, progress: null, result: null }, this.#clock.now()))
    }
    const ask = async (): Promise<JobSeen> => {
      const output = await engine.logs(container.id, { tail: tailLines }, AbortSignal.timeout(logsTimeoutMs))
      return { container, progress: progressIn(output), result: hasEnded ? resultIn(output, container.exitCode) : null }
    }
    const freshMs = hasEnded ? Infinity : progressFreshMs
    return this.#answers.current({ key: id, subject: runOf(container), freshMs, ask: () => this.#gate.pass(ask) })
  }

  forget(key: string): void {
    this.#answers.forget(key)
  }

  sweep(unusedSince: number): void {
    this.#answers.dropUnusedSince(unusedSince)
  }
}
