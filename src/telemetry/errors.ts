/** An error as a log field: what an operator needs of it and of its causes, and none of the rest that libraries hang on errors. */
import { isHoldfastError } from '../domain/errors.ts'

/** Deep enough for any chain we make; a cycle ends here too. */
const maxCauses = 8
/** Of the errors behind one AggregateError. */
const maxGathered = 5

export interface SerializedError {
  readonly type: string
  readonly message: string
  /** Ours, SQLSTATE, or the system's (`ECONNREFUSED`). */
  readonly code?: string
  readonly statusCode?: number
  readonly next?: string
  readonly facts?: Readonly<Record<string, unknown>>
  readonly stack?: string
  readonly cause?: SerializedError
  readonly errors?: readonly SerializedError[]
}

export function serializeError(error: unknown, depth = 0): SerializedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  return { type: error.name, message: error.message, ...identityOf(error), ...ownDetails(error), ...chainOf(error, depth) }
}

function identityOf(error: Error): Pick<SerializedError, 'code' | 'statusCode'> {
  return {
    ...('code' in error && typeof error.code === 'string' && { code: error.code }),
    ...('statusCode' in error && typeof error.statusCode === 'number' && { statusCode: error.statusCode }),
  }
}

/** A HoldfastError says itself what happened and what to do; any other error is a surprise whose place matters. */
function ownDetails(error: Error): Pick<SerializedError, 'next' | 'facts' | 'stack'> {
  if (!isHoldfastError(error)) return error.stack === undefined ? {} : { stack: error.stack }
  return {
    ...(error.next !== undefined && { next: error.next }),
    ...(Object.keys(error.facts).length > 0 && { facts: error.facts }),
  }
}

function chainOf(error: Error, depth: number): Pick<SerializedError, 'cause' | 'errors'> {
  if (depth >= maxCauses) return {}
  return {
    ...(error.cause !== undefined && { cause: serializeError(error.cause, depth + 1) }),
    ...(error instanceof AggregateError && { errors: error.errors.slice(0, maxGathered).map((inner) => serializeError(inner, depth + 1)) }),
  }
}
