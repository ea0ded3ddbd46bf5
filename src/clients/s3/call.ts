/** One call to the store: its deadline, and its failure in our words. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'

/** `what` completes "could not …". Errors: `ObjectStoreUnavailable`, `Internal`; the caller's own abort reason. */
export type Call = <T>(what: string, signal: AbortSignal, send: (abortSignal: AbortSignal) => Promise<T>) => Promise<T>

/** What the store answered: HTTP status and its own name for the error. */
export interface StoreRefusal {
  readonly status: number
  readonly name: string
}

export function caller(endpoint: string, timeoutMs: number): Call {
  return async (what, signal, send) => {
    signal.throwIfAborted()
    const deadline = AbortSignal.timeout(timeoutMs)
    try {
      return await send(AbortSignal.any([signal, deadline]))
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof HoldfastError) throw error
      throw failure(endpoint, what, error, deadline.aborted ? timeoutMs : null)
    }
  }
}

const refusedSchema = z.object({ name: z.string(), $metadata: z.object({ httpStatusCode: z.int() }) })

function failure(endpoint: string, what: string, error: unknown, timedOutMs: number | null): HoldfastError {
  const refused = refusedSchema.safeParse(error)
  if (timedOutMs === null && refused.success) return refusedCall(endpoint, what, refused.data.name, refused.data.$metadata.httpStatusCode, error)
  const why = timedOutMs === null ? 'cannot be reached' : `did not answer within ${timedOutMs} ms`
  return new HoldfastError('ObjectStoreUnavailable', `The S3 store ${endpoint} ${why}: could not ${what}`, {
    cause: error,
    next: 'See that the store runs and that this machine reaches it',
    facts: { endpoint },
  })
}

function refusedCall(endpoint: string, what: string, name: string, status: number, cause: unknown): HoldfastError {
  const facts = { endpoint, status, name }
  if (status === 401 || status === 403) {
    return new HoldfastError('ObjectStoreUnavailable', `The S3 store ${endpoint} refused to ${what} (${name})`, {
      cause, facts, next: 'See that the access key is right and allowed to read and write the bucket',
    })
  }
  if (status >= 500 || status === 429) {
    return new HoldfastError('ObjectStoreUnavailable', `The S3 store ${endpoint} could not ${what} (${status} ${name})`, {
      cause, facts, next: 'Wait, or look at the logs of the store',
    })
  }
  return new HoldfastError('Internal', `The S3 store ${endpoint} refused to ${what} (${status} ${name})`, { cause, facts })
}

const refusalSchema = z.object({ status: z.int(), name: z.string() })

/** What the store answered, if `error` is such an answer. */
export function refusalOf(error: unknown): StoreRefusal | null {
  if (!(error instanceof HoldfastError)) return null
  const refusal = refusalSchema.safeParse(error.facts)
  return refusal.success ? refusal.data : null
}
