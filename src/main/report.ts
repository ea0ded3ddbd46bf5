/** What a pass and its actions leave in logs and metrics. One id goes through a whole pass: database and lease epoch. */
import type { Action } from '../domain/action.ts'
import { isHoldfastError } from '../domain/errors.ts'
import { shortId } from '../domain/names.ts'
import type { PassOutcome } from '../controller/loop.ts'
import type { PassResult } from '../controller/pass.ts'
import type { Lease } from '../store/store.ts'
import type { Logger } from 'pino'
import type { Metrics } from '../telemetry.ts'

export interface PassReport {
  readonly onAction: (action: Action, error: unknown, ms: number, lease: Lease) => void
  readonly passEnded: (lease: Lease, outcome: PassOutcome, result: PassResult | null, ms: number, error: unknown) => void
  readonly trouble: (message: string, error: unknown) => void
}

export function passReport(logger: Logger, metrics: Metrics): PassReport {
  return {
    onAction(action, error, ms, lease) {
      const outcome = error === null ? 'ok' : 'failed'
      metrics.actions.inc({ kind: action.kind, outcome })
      metrics.actionDuration.observe({ kind: action.kind }, ms / 1_000)
      const fields = { ...identity(lease), action: action.kind, ms: Math.round(ms) }
      if (error === null) logger.info(fields, 'action applied')
      // told once, with its cause, where the pass that it failed ends
      else logger.debug({ ...fields, code: isHoldfastError(error) ? error.code : 'Internal' }, 'action failed')
    },
    passEnded(lease, outcome, result, ms, error) {
      metrics.reconcilePasses.inc({ outcome })
      metrics.reconcileDuration.observe(ms / 1_000)
      if (outcome === 'leaseLost') metrics.leaseLosses.inc()
      const fields = { ...identity(lease), outcome, ms: Math.round(ms) }
      if (outcome === 'failed') logger.warn({ ...fields, attempts: lease.attempts, err: error }, 'pass failed')
      else logger.debug({ ...fields, actions: result?.actionKinds, waitingFor: result?.waitingFor }, 'pass ended')
    },
    trouble(message, error) {
      logger.warn({ err: error, what: message }, 'the loop met trouble')
    },
  }
}

function identity(lease: Lease): { databaseId: string; reconcileId: string } {
  return { databaseId: lease.databaseId, reconcileId: `${shortId(lease.databaseId)}-${lease.epoch}` }
}
