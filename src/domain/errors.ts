/**
 * Errors that callers may rely on: a stable code, a sentence, and what to do next.
 * One table maps every code to its HTTP status; a code that is not in the table cannot be thrown.
 */
import { inspect } from 'node:util'

/** Code → HTTP status. 5xx codes are ours to mend, 4xx codes the caller's. */
export const errorStatus = {
  // requests
  InvalidRequest: 400,
  Unauthenticated: 401,
  Forbidden: 403,
  NotFound: 404,
  NameTaken: 409,
  Conflict: 409,
  OperationInProgress: 409,
  ConfirmationRequired: 409,
  PayloadTooLarge: 413,
  RateLimited: 429,
  // what a request asks for but cannot have now
  TierChangeNotSupported: 422,
  TierNotHa: 422,
  HaNotEnabled: 422,
  NotHighlyAvailable: 422,
  MemberIsLeader: 409,
  StorageCannotShrink: 422,
  BackupNotUsable: 422,
  RestorePointOutOfRange: 422,
  DatabaseDeleting: 409,
  DatabasePaused: 409,
  DatabaseNotReady: 409,
  NoCapacity: 503,
  PortsExhausted: 503,
  NetworksExhausted: 503,
  // the installation
  ConfigInvalid: 500,
  EngineMissing: 500,
  EngineUnreachable: 503,
  ImageBuildFailed: 500,
  ControlDatabaseUnavailable: 503,
  SchemaTooNew: 500,
  MigrationChanged: 500,
  ObjectStoreUnavailable: 503,
  EtcdUnavailable: 503,
  MasterKeyUnknown: 500,
  MasterKeyFileUnsafe: 500,
  SealBroken: 500,
  CertificateInvalid: 500,
  StartFailed: 500,
  // a pass of the loop
  LeaseLost: 500,
  DataMissing: 500,
  ResourceConflict: 500,
  JobFailed: 500,
  ReadBackFailed: 500,
  MemberUnreachable: 503,
  TimedOut: 504,
  Internal: 500,
} as const

export type ErrorCode = keyof typeof errorStatus

export interface ErrorDetails {
  /** What the reader should do about it, one sentence. */
  readonly next?: string
  readonly cause?: unknown
  /** Facts about the case, safe to show: never a secret. */
  readonly facts?: Readonly<Record<string, unknown>>
}

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  readonly next: string | undefined
  readonly facts: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.next = details.next
    this.facts = details.facts ?? {}
  }

  get status(): number {
    return errorStatus[this.code]
  }
}

export function isHoldfastError(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError
}

/** The one line an operator reads: message, then the messages of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = []
  for (let at: unknown = error; at !== undefined && parts.length < 5; at = at instanceof Error ? at.cause : undefined) {
    parts.push(at instanceof Error ? at.message : typeof at === 'string' ? at : inspect(at))
  }
  return parts.join(': ')
}
