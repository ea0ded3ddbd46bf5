/** Errors as callers of the client meet them: what the service answered, or that it did not. */
import type { Problem } from './schema.ts'

interface Complaint {
  /** Stable; `ServiceUnreachable` and `AnswerUnreadable` are the client's own. */
  readonly code: string
  readonly message: string
  readonly next: string
  readonly facts?: Readonly<Record<string, unknown>>
  readonly requestId: string | null
}

export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  /** HTTP status; 0 when the service did not answer. */
  readonly status: number
  readonly complaint: Complaint

  constructor(status: number, complaint: Complaint, cause?: unknown) {
    super(complaint.message, cause === undefined ? undefined : { cause })
    this.status = status
    this.complaint = complaint
  }
}

/** The answer of a call; throws an ApiProblem for every other outcome. */
export async function answerOf<T>(call: Promise<{ readonly data?: T; readonly error?: Problem; readonly response: Response }>): Promise<T> {
  const { data, error, response } = await call.catch(unreachable)
  if (response.ok && data !== undefined) return data
  throw new ApiProblem(response.status, isProblem(error) ? error.error : unreadable(response.status))
}

function unreachable(cause: unknown): never {
  const reason = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : String(cause)
  throw new ApiProblem(0, {
    code: 'ServiceUnreachable',
    message: `The service does not answer: ${reason}.`,
    next: 'Is it running (holdfast up)? Are the URL and the CA file the right ones?',
    requestId: null,
  }, cause)
}

/** Something between us and the service may answer in its own words. */
function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'error' in error && typeof error.error === 'object'
}

function unreadable(status: number): Complaint {
  return { code: 'AnswerUnreadable', message: `The answer has status ${status} and is not the service's.`, next: 'Check the URL, and what lies between.', requestId: null }
}
