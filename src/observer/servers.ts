/** What members' PostgreSQL and endpoints' proxies say, asked of those whose container runs. */
import { loadedRevision } from '../clients/haproxy.ts'
import type { PatroniAddress } from '../clients/patroni.ts'
import { readPostgres } from '../clients/postgres.ts'
import type { Desired } from '../domain/desired.ts'
import { internalName } from '../domain/names.ts'
import type { PatroniReport, PatroniSeen, PostgresSeen, ProxySeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import type { Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import { Connections } from './connections.ts'
import type { Gate } from './gate.ts'
import { runOf, type RunningMember, type RunningPatroni, type RunningProxy } from './parts.ts'

/** The controller's client certificate of now, PEM. */
export type IdentityOf = () => { readonly certificatePem: string; readonly keyPem: Secret }

export type PatroniReader = (address: PatroniAddress, signal: AbortSignal) => Promise<PatroniReport>

export interface ServersOptions {
  readonly clock: Clock
  readonly gate: Gate
  readonly identity: IdentityOf
  readonly readPatroni: PatroniReader
}

const connectTimeoutMs = 1_000
const statementTimeoutMs = 3_000
const runtimeTimeoutMs = 1_000
/** It asks its PostgreSQL before it answers. */
const patroniTimeoutMs = 1_500
/** A config install forgets what proxies said; this only bounds what another controller may have changed. */
const proxyFreshMs = 5 * 60_000

export class Servers {
  readonly #options: ServersOptions
  readonly #connections: Connections
  readonly #postgres: Answers<PostgresSeen>
  readonly #proxies: Answers<ProxySeen>
  readonly #patroni: Answers<PatroniSeen>
  /** What each Patroni said last, for since when it has said so: forgotten answers do not begin it anew. */
  readonly #said = new Map<string, { readonly run: string; readonly seen: PatroniSeen }>()

  constructor(options: ServersOptions) {
    this.#options = options
    this.#connections = new Connections(options.clock)
    this.#postgres = new Answers(options.clock)
    this.#proxies = new Answers(options.clock)
    this.#patroni = new Answers(options.clock)
  }

  /** `freshMs`: for this long an answer is good. */
  member(desired: Desired, running: RunningMember, freshMs: number): Promise<Sighting<PostgresSeen>> {
    const { gate } = this.#options
    const ask = (): Promise<PostgresSeen> => gate.pass(() => this.#askMember(desired, running))
    return this.#postgres.current({ key: running.member.id, subject: runOf(running.container), freshMs, ask })
  }

  patroni(desired: Desired, running: RunningPatroni, freshMs: number): Promise<Sighting<PatroniSeen>> {
    const ask = async (): Promise<PatroniSeen> => this.#sinceWhen(running, await this.#options.gate.pass(() => this.#askPatroni(desired, running)))
    return this.#patroni.current({ key: running.member.id, subject: runOf(running.container), freshMs, ask })
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
    this.#patroni.forget(key)
  }

  sweep(unusedSince: number): void {
    this.#connections.sweep()
    this.#postgres.dropUnusedSince(unusedSince)
    this.#proxies.dropUnusedSince(unusedSince)
    this.#patroni.dropUnusedSince(unusedSince)
    for (const [memberId, { seen }] of this.#said) {
      if (this.#patroni.peek(memberId) === null && seen.since.getTime() < unusedSince) this.#said.delete(memberId)
    }
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

  #askPatroni({ trustBundlePem }: Desired, { member, host, port }: RunningPatroni): Promise<PatroniReport> {
    const { certificatePem, keyPem } = this.#options.identity()
    const address = { host: host.privateAddress, port, serverName: internalName.member(member.id), ca: trustBundlePem, cert: certificatePem, key: keyPem }
    return this.#options.readPatroni(address, AbortSignal.timeout(patroniTimeoutMs))
  }

  #sinceWhen({ member, container }: RunningPatroni, report: PatroniReport): PatroniSeen {
    const run = runOf(container)
    const before = this.#said.get(member.id)
    const isSame = before?.run === run && doing(before.seen) === doing(report)
    const seen = { ...report, since: isSame ? before.seen.since : this.#options.clock.now() }
    this.#said.set(member.id, { run, seen })
    return seen
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

/** What goes back and forth between failing and starting does the same all the time. */
function doing({ role, state, replicationState }: PatroniReport): string {
  if (role === 'leader' || replicationState === 'streaming') return 'serving'
  return state === 'creating replica' ? state : 'neither'
}
