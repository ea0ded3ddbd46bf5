/** What the API needs from outside. It is all passed in: the API reads no environment and no file. */
import type { Logger } from 'pino'
import type { Histogram, Registry } from 'prom-client'
import type { LiveStatus } from '../domain/liveStatus.ts'
import type { Provisioning, Store } from '../store/store.ts'

export interface ApiSettings {
  readonly installation: string
  /** What new databases are made from. */
  readonly provisioning: Provisioning
  /** Let /metrics be read without a token: for scrapers on a private network. */
  readonly metricsArePublic: boolean
  /** How long the backups of a deleted database are kept when the request does not say. */
  readonly deletedBackupsKeptDays: number
  readonly requestsPerMinute: number
  readonly failedAuthenticationsPerMinute: number
}

/**
 * Limits that nobody has had a reason to change. Requests are many because a console polls; failed authentications are
 * few because a right client has none.
 */
export const usualLimits = { requestsPerMinute: 6000, failedAuthenticationsPerMinute: 30 } as const

export interface ReadinessCheck {
  /** controlDatabase, engines, loop. */
  readonly name: string
  readonly ok: boolean
  readonly message: string
}

/** Says whether this process can do its work. Bounded: it answers within seconds, and never throws. */
export type Readiness = () => Promise<readonly ReadinessCheck[]>

export interface ApiMetrics {
  /** Everything that /metrics tells. */
  readonly registry: Registry
  readonly apiRequestDuration: Histogram<'method' | 'route' | 'status'>
}

export interface ApiParts {
  readonly store: Store
  readonly settings: ApiSettings
  readonly logger: Logger
  readonly metrics: ApiMetrics
  readonly readiness: Readiness
  /** Left out: members are shown as the last pass saw them. */
  readonly live?: LiveStatus
  /** PEM. The API speaks HTTPS only; renew with `app.server.setSecureContext`. */
  readonly tls: { readonly key: string; readonly cert: string }
}
