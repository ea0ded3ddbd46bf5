/** Duties that one controller at a time performs: each is a row with a lease of its own, fenced like a database's. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { time } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import type { Failure } from './views.ts'

export interface DutyLease {
  readonly name: string
  readonly holder: string
  readonly epoch: number
  readonly until: Date
  /** When it was last done without an error. */
  readonly lastRunAt: Date | null
  readonly now: Date
}

export interface DutyClaim {
  readonly holder: string
  readonly leaseSeconds: number
  /** Not before this long after it was last done. */
  readonly everySeconds?: number
}

export interface DutyStore {
  /** Null while another holds it, or when it is not due yet. */
  claim(name: string, options: DutyClaim): Promise<DutyLease | null>
  renew(duty: DutyLease, leaseSeconds: number): Promise<DutyLease>
  /** With an error it stays due. */
  done(duty: DutyLease, result?: { readonly error?: Failure }): Promise<void>
}

const dutyRow: z.ZodType<DutyLease> = z.object({
  name: z.string(), holder: z.string(), epoch: z.number(), until: time, lastRunAt: time.nullable(), now: time,
})
const columns = `name, holder, epoch, lease_until as until, last_run_at as "lastRunAt", now() as now`

export function dutyStore(database: ControlDatabase): DutyStore {
  return {
    async claim(name, { holder, leaseSeconds, everySeconds = 0 }) {
      await database.run(`insert into duties (name) values ($1) on conflict do nothing`, [name])
      const duty = await database.maybe(
        dutyRow,
        `update duties set holder = $2, epoch = epoch + 1, lease_until = now() + make_interval(secs => $3)
          where name = $1 and (lease_until is null or lease_until <= now())
            and (last_run_at is null or last_run_at <= now() - make_interval(secs => $4))
         returning ${columns}`,
        [name, holder, leaseSeconds, everySeconds],
      )
      return duty ?? null
    },
    async renew(duty, leaseSeconds) {
      const renewed = await database.maybe(
        dutyRow,
        `update duties set lease_until = now() + make_interval(secs => $4) where name = $1 and holder = $2 and epoch = $3 returning ${columns}`,
        [duty.name, duty.holder, duty.epoch, leaseSeconds],
      )
      if (renewed === undefined) throw dutyLost(duty)
      return renewed
    },
    async done(duty, { error } = {}) {
      const written = await database.run(
        `update duties set holder = null, lease_until = null, last_error = $4::jsonb,
                last_run_at = case when $4::jsonb is null then now() else last_run_at end
          where name = $1 and holder = $2 and epoch = $3`,
        [duty.name, duty.holder, duty.epoch, error === undefined ? null : JSON.stringify(error)],
      )
      if (written === 0) throw dutyLost(duty)
    },
  }
}

function dutyLost({ name, holder }: DutyLease): HoldfastError {
  return new HoldfastError('LeaseLost', `The duty ${name} is no longer that of ${holder}.`, { next: 'Nothing: whoever holds it now goes on.' })
}
