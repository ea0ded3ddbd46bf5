/** What the guard needs of the rest of the process: interfaces only, wired in main.ts. */
import type { EngineClient } from '../clients/docker.ts'
import type { Secret } from '../domain/secret.ts'
import type { KeyStore } from './keys.ts'

/**
 * Something happened to a container of ours: the engine's own word. `die` is told once every process of the container is gone, a
 * fifth of a second before the engine lets anybody inspect it; all else is only a hint to look at once.
 */
export interface ContainerNews {
  readonly hostId: string
  readonly id: string
  readonly name: string
  /** The engine's word: `die`, `pause`, `oom`, `start`, `destroy`, … */
  readonly action: string
  /** By the engine's own clock, which dates the runs of its containers, too. */
  readonly at: Date
}

/** The observer's event streams. Returns the end of it. */
export type ContainerEvents = (listener: (news: ContainerNews) => void) => () => void

export type GuardEngine = Pick<EngineClient, 'findContainer' | 'killContainer' | 'exec'>

export interface GuardLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface GuardWorld {
  readonly installation: string
  /** By host id. Errors: `EngineUnreachable` when no such engine is configured. */
  readonly engineOf: (hostId: string) => GuardEngine
  readonly events: ContainerEvents
  /** As a user that may read and write the keys of every cluster. */
  readonly etcd: KeyStore
  /** The controller's client certificate of now, PEM. */
  readonly identity: () => { readonly certificatePem: string; readonly keyPem: Secret }
  readonly log: GuardLog
}
