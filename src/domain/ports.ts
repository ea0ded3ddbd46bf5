/** The outside as the inner rooms see it: interfaces only, wired in main.ts. */
import type { Action, StoreRecord } from './action.ts'
import type { Blueprints } from './blueprint.ts'
import type { Desired, KeyPair } from './desired.ts'
import type { Observed } from './observed.ts'

export interface Clock {
  now(): Date
}

export interface Observer {
  /** Looks at everything that belongs to one database. Never throws for a part that cannot be seen: that part is unknown. */
  observe(desired: Desired, signal: AbortSignal): Promise<Observed>
  /** Forgets what it kept of a database, so that the next pass asks anew. */
  forget(databaseId: string): void
}

/** What an action found out and the control database should remember. */
export interface ActionResult {
  readonly records: readonly StoreRecord[]
}

export interface Executor {
  /** Applies one action. "Already so" is success. Throws HoldfastError when it could not. */
  apply(action: Action, desired: Desired, signal: AbortSignal): Promise<ActionResult>
}

export interface Blueprinter {
  /** Pure: the same desired state gives the same blueprints and hashes. */
  blueprints(desired: Desired): Blueprints
}

export interface CertificateRequest {
  readonly commonName: string
  readonly names: readonly string[]
  readonly usage: 'server' | 'client' | 'both'
}

export interface CertificateIssuer {
  issue(request: CertificateRequest): Promise<KeyPair>
}
