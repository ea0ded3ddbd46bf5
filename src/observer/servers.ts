/** What members' PostgreSQL and endpoints' proxies say, asked of those whose container runs. */
import { loadedRevision } from '../clients/haproxy.ts'
import { readPostgres } from '../clients/postgres.ts'
import type { Desired } from '../domain/desired.ts'
import { internalName } from '../domain/names.ts'
import type { PostgresSeen, ProxySeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import type { Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import { Connections } from './connections.ts'
import type { Gate } from './gate.ts'
import { runOf, type RunningMember, type RunningProxy } from './parts.ts'

/** The controller's client certificate of now, PEM. */
export type IdentityOf = () => { readonly certificatePem: string; readonly keyPem: Secret }

export interface ServersOptions {
  readonly clock: Clock
  readonly gate: Gate
  readonly identity: IdentityOf
  /** An answer of PostgreSQL is good for this long. */
  readonly freshMs: number
}

const connectTimeoutMs = 1_000
const statementTimeoutMs = 3_000
const runtimeTimeoutMs = 1_000
/** A config install forgets what proxies said; this only bounds what another controller may have changed. */
const proxyFreshMs = 5 * 60_000

export class Servers {
  readonly #options: ServersOptions
  readonly #connections: Connections
  readonly #postgres: Answers<PostgresSeen>
  readonly #proxies: Answers<ProxySeen>

  constructor(options: ServersOptions) {
    this.#options = options
    this.#connections = new Connections(options.clock)
    this.#postgres = new Answers(options.clock)
    this.#proxies = new Answers(options.clock)
  }

  member(desired: Desired, running: RunningMember): Promise<Sighting<PostgresSeen>> {
    const { freshMs, gate } = this.#options
    const ask = (): Promise<PostgresSeen> => gate.pass(() => this.#askMember(desired, running))
    return this.#postgres.current({ key: running.member.id, subject: runOf(running.container), freshMs, ask })
  }

  proxy(desired: Desired, running: RunningProxy): Promise<Sighting<ProxySeen>> {
    const ask = (): Promise<ProxySeen> => this.#options.gate.pass(() => this.#askProxy(desired, running))
    return this.#proxies.current({ key: running.key, subject: runOf(running.container), freshMs: proxyFreshMs, ask })
  }

  /** A connection to what does not run is of no use. */
  closeConnection(memberId: string): void {
    this.#connections.close(memberId)
  }

  forget(key: string): void {
    this.#postgres.forget(key)
    this.#proxies.forget(key)
  }

  sweep(unusedSince: number): void {
    this.#connections.sweep()
    this.#postgres.dropUnusedSince(unusedSince)
    this.#proxies.dropUnusedSince(unusedSince)
  }

  close(): void {
    this.#connections.closeAll()
  }

  #askMember({ trustBundlePem }: Desired, { member, host, container }: RunningMember): Promise<PostgresSeen> {
    const { certificatePem, keyPem } = this.#options.identity()
    const address = {
      host: host.privateAddress,
      port: member.ports.postgres,
      serverName: internalName.member(member.id),
      user: 'postgres',
      database: 'postgres',
      ca: trustBundlePem,
      cert: certificatePem,
      key: keyPem,
      applicationName: 'holdfast observer',
      connectTimeoutMs,
      statementTimeoutMs,
    }
    const subject = `${runOf(container)} ${address.host}:${address.port}`
    return this.#connections.use(member.id, subject, address, (connection) => readPostgres(connection))
  }

  async #askProxy({ trustBundlePem }: Desired, { endpointId, proxy, host }: RunningProxy): Promise<ProxySeen> {
    const { certificatePem, keyPem } = this.#options.identity()
    const configHash = await loadedRevision({
      host: host.privateAddress,
      port: proxy.ports.runtime,
      serverName: internalName.endpoint(endpointId),
      ca: trustBundlePem,
      cert: certificatePem,
      key: keyPem,
      timeoutMs: runtimeTimeoutMs,
    })
    return { configHash }
  }
}
