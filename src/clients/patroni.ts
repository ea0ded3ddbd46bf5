/**
 * One member's Patroni over its REST API: mutual TLS, name and password where something is changed, answers parsed, a limit on every
 * call. No policy. Patroni 4.0 speaks HTTP/1.0: each question is a connection, made cheap by resuming the TLS session.
 */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { jsonOrNull } from '../domain/json.ts'
import type { PatroniReport } from '../domain/observed.ts'
import type { Secret } from '../domain/secret.ts'
import { openTransport, type PatroniAnswer, type PatroniRequest } from './patroni/transport.ts'

export interface PatroniAddress {
  readonly host: string
  readonly port: number
  /** The name that the member's certificate has to carry, whatever `host` is. */
  readonly serverName: string
  /** PEM of every authority that is trusted. */
  readonly ca: string
  readonly cert: string
  readonly key: Secret
}

/** Of the calls that change something. */
export interface PatroniLogin {
  readonly username: string
  readonly password: Secret
}

export interface PatroniMember {
  readonly name: string
  readonly role: string
  readonly state: string
  readonly timeline: number | null
  /** Behind the leader; null when Patroni does not know. */
  readonly lagBytes: number | null
}

/** Patroni did it or would not: `message` in its own words. */
export type PatroniReply =
  | { readonly done: true; readonly message: string }
  | { readonly done: false; readonly status: number; readonly message: string }

/** Errors of every call: `MemberUnreachable`; `Internal` when the answer is none that Patroni gives; the caller's own abort reason. */
export interface PatroniClient {
  /** Any answer at all, without a query of PostgreSQL: whether its process runs. */
  liveness(signal: AbortSignal): Promise<{ readonly status: number }>
  /** GET /patroni. */
  report(signal: AbortSignal): Promise<PatroniReport>
  /** GET /patroni: whether it looked at etcd since the cluster was paused. */
  isPaused(signal: AbortSignal): Promise<boolean>
  /** GET /health: whether PostgreSQL is up and running, as Patroni sees it. */
  isHealthy(signal: AbortSignal): Promise<boolean>
  /** GET /cluster. */
  members(signal: AbortSignal): Promise<readonly PatroniMember[]>
  /** GET /config: null before it was written. */
  config(signal: AbortSignal): Promise<Readonly<Record<string, unknown>> | null>
  /** Merges; null removes a key. The configuration as it is then. */
  patchConfig(patch: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>
  /**
   * Makes it begin its next cycle now, not when its second is over. Patroni 4.0.7, `api.py:do_PATCH_config`: a patch that changes
   * nothing writes nothing and wakes the loop all the same; taking away a key that is not there is such a patch.
   */
  wake(signal: AbortSignal): Promise<void>
  /** Answers when it is over, or was refused. Names as Patroni knows them; a null candidate lets Patroni choose. */
  switchover(order: { readonly leader: string; readonly candidate: string | null }, signal: AbortSignal): Promise<PatroniReply>
  /** Restarts PostgreSQL. */
  restart(signal: AbortSignal): Promise<PatroniReply>
  /** Throws the replica's data away and copies them anew; answers when that has begun. */
  reinitialise(signal: AbortSignal): Promise<PatroniReply>
  /** Reads its own configuration file again. */
  reload(signal: AbortSignal): Promise<PatroniReply>
}

export interface PatroniOptions {
  /** For one answer, from the first packet on. */
  readonly timeoutMs?: number
}

/** It asks its PostgreSQL before it answers most questions. */
const defaultTimeoutMs = 2_000
/** Patroni itself waits up to its lease for the outcome of a switchover, and for PostgreSQL to stop and start. */
const longTimeoutMs = 60_000
const noSuchKey = 'holdfast_wake'

/** Opens nothing yet. */
export function connectPatroni(address: PatroniAddress, login: PatroniLogin, { timeoutMs = defaultTimeoutMs }: PatroniOptions = {}): PatroniClient {
  const ask = openTransport(address)
  const get = (path: string, signal: AbortSignal): Promise<PatroniAnswer> => ask({ method: 'GET', path, timeoutMs }, signal)
  const change = (request: Omit<PatroniRequest, 'login'>, signal: AbortSignal): Promise<PatroniAnswer> => ask({ ...request, login }, signal)
  const patchConfig: PatroniClient['patchConfig'] = async (patch, signal) => {
    const answer = await change({ method: 'PATCH', path: '/config', body: patch, timeoutMs }, signal)
    if (answer.status === 200) return parsed(configSchema, answer, '/config')
    throw new HoldfastError('Internal', `Patroni on ${address.host}:${address.port} refused a change of its configuration (${answer.status}): ${answer.text.slice(0, 200)}`)
  }
  return {
    liveness: async (signal) => ({ status: (await get('/liveness', signal)).status }),
    report: async (signal) => parsed(reportSchema, await get('/patroni', signal), '/patroni'),
    isPaused: async (signal) => parsed(pauseSchema, await get('/patroni', signal), '/patroni').pause === true,
    isHealthy: async (signal) => (await get('/health', signal)).status === 200,
    members: async (signal) => parsed(clusterSchema, await get('/cluster', signal), '/cluster').members,
    config: async (signal) => {
      const answer = await get('/config', signal)
      return answer.status === 502 ? null : parsed(configSchema, answer, '/config')
    },
    patchConfig,
    wake: async (signal) => {
      await patchConfig({ [noSuchKey]: null }, signal)
    },
    switchover: async ({ leader, candidate }, signal) =>
      replyOf(await change({ method: 'POST', path: '/switchover', body: { leader, ...(candidate !== null && { candidate }) }, timeoutMs: longTimeoutMs }, signal)),
    restart: async (signal) => replyOf(await change({ method: 'POST', path: '/restart', body: {}, timeoutMs: longTimeoutMs }, signal)),
    reinitialise: async (signal) => replyOf(await change({ method: 'POST', path: '/reinitialize', body: { force: true }, timeoutMs: longTimeoutMs }, signal)),
    reload: async (signal) => replyOf(await change({ method: 'POST', path: '/reload', body: {}, timeoutMs }, signal)),
  }
}

/** One look, for those who keep no client. */
export async function readPatroni(address: PatroniAddress, signal: AbortSignal): Promise<PatroniReport> {
  return parsed(reportSchema, await openTransport(address)({ method: 'GET', path: '/patroni', timeoutMs: defaultTimeoutMs }, signal), '/patroni')
}

const configSchema = z.record(z.string(), z.unknown())

/** What Patroni calls `primary` leads here; `demoted`, `uninitialized` and `promoted` (on its way) do not count as either. */
const roles: Readonly<Record<string, PatroniReport['role']>> = {
  primary: 'leader', master: 'leader', leader: 'leader', replica: 'replica', standby_leader: 'standbyLeader',
}

const reportSchema = z
  .object({
    state: z.string(),
    role: z.string(),
    timeline: z.int().nullish(),
    pending_restart: z.boolean().optional(),
    replication_state: z.string().nullish(),
  })
  .transform((seen): PatroniReport => ({
    state: seen.state,
    role: roles[seen.role] ?? 'none',
    timeline: seen.timeline ?? null,
    pendingRestart: seen.pending_restart === true,
    replicationState: seen.replication_state ?? null,
  }))

/** The key is there only while it is so. */
const pauseSchema = z.object({ pause: z.boolean().optional() })

const memberSchema = z
  .object({ name: z.string(), role: z.string(), state: z.string(), timeline: z.int().nullish(), lag: z.union([z.int(), z.string()]).nullish() })
  .transform((seen): PatroniMember => ({
    name: seen.name, role: seen.role, state: seen.state, timeline: seen.timeline ?? null,
    // Patroni writes `unknown` where it does not know
    lagBytes: typeof seen.lag === 'number' ? seen.lag : null,
  }))

const clusterSchema = z.object({ members: z.array(memberSchema) })

function parsed<T>(schema: z.ZodType<T>, { text, status, where }: PatroniAnswer, path: string): T {
  const result = schema.safeParse(jsonOrNull(text))
  if (result.success) return result.data
  throw new HoldfastError('Internal', `Patroni on ${where} answered ${path} (${status}) in a shape that is not known: ${z.prettifyError(result.error)}`)
}

function replyOf({ status, text }: PatroniAnswer): PatroniReply {
  const message = text.trim().slice(0, 500)
  return status >= 200 && status < 300 ? { done: true, message } : { done: false, status, message }
}
