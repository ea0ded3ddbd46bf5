/**
 * Requests as a user: a token for each endpoint, taken when it is first needed and again when it is not known any more; and
 * which endpoint is asked, in which order.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Readable } from 'node:stream'
import { z } from 'zod'
import { HoldfastError, isHoldfastError } from '../../domain/errors.ts'
import type { Secret } from '../../domain/secret.ts'
import type { EtcdAccess, EtcdEndpoint } from '../etcd.ts'
import { AmbiguousWrite, etcdRefusalOf, verdictOn } from './refusals.ts'
import { addressOf, NotSent, unavailable, Unanswered, type Transport } from './transport.ts'

export interface Session {
  readonly access: EtcdAccess
  order(): readonly EtcdEndpoint[]
  /** What may run twice. */
  read<T>(path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** What may run twice and takes its time: one endpoint after the other. */
  manage<T>(path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** Error beside the usual ones: `AmbiguousWrite`. */
  write<T>(path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** This endpoint and no other; without a token where it wants none, since taking one needs a majority. */
  askMember<T>(endpoint: EtcdEndpoint, path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** This endpoint and no other. */
  at<T>(endpoint: EtcdEndpoint, path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal, timeoutMs?: number): Promise<T>
  streamAt(endpoint: EtcdEndpoint, path: string, body: object, signal: AbortSignal): Promise<Readable>
  /** False when the name or the password is not right. */
  authenticates(name: string, password: Secret, signal: AbortSignal): Promise<boolean>
}

/** Far more than a usual answer takes: the next endpoint is asked beside one that is as late. */
const lateMs = 200
/** Hashing a password takes a moment, more on a busy machine; so do changes of the members. */
const manageMs = 5_000
/** A token that has just been taken is refused only by what is broken otherwise. */
const mostRenewals = 2

export const wrongPassword = 'authentication failed, invalid user ID or password'
const notEnabled = 'authentication is not enabled'
const tokenSchema = z.object({ token: z.string() })

export function openSession(transport: Transport, access: EtcdAccess, attemptMs: number): Session {
  const tokens = new Map<string, Promise<string | null>>()

  const authenticate = async (endpoint: EtcdEndpoint, name: string, password: Secret, signal: AbortSignal): Promise<string | null> => {
    try {
      const request = { endpoint, path: '/v3/auth/authenticate', body: { name, password: password.reveal() }, token: null }
      return tokenSchema.parse(await transport.post(request, manageMs, signal)).token
    } catch (error) {
      if (etcdRefusalOf(error)?.reason === notEnabled) return null
      // whatever wanted the token was not sent
      throw error instanceof Unanswered ? new NotSent(error.message, { cause: error.cause }) : error
    }
  }

  const tokenAt = async (endpoint: EtcdEndpoint, signal: AbortSignal): Promise<string | null> => {
    const key = addressOf(endpoint)
    const held = tokens.get(key)
    if (held !== undefined) return held
    const asked = authenticate(endpoint, access.user, access.password, signal)
    tokens.set(key, asked)
    return asked.catch((error: unknown) => {
      if (tokens.get(key) === asked) tokens.delete(key)
      throw error
    })
  }

  const withToken = async <T>(endpoint: EtcdEndpoint, signal: AbortSignal, ask: (token: string | null) => Promise<T>, isWanted = true): Promise<T> => {
    for (let renewals = 0; ; renewals += 1) {
      const held = tokens.get(addressOf(endpoint))
      const token = isWanted || renewals > 0 ? await tokenAt(endpoint, signal) : ((await held) ?? null)
      try {
        return await ask(token)
      } catch (error) {
        const refusal = etcdRefusalOf(error)
        const verdict = refusal === null ? null : verdictOn(refusal)
        if (renewals >= mostRenewals || (verdict !== 'newToken' && verdict !== 'sameAgain')) throw error
        if (verdict === 'newToken' && (held === undefined || tokens.get(addressOf(endpoint)) === held)) tokens.delete(addressOf(endpoint))
      }
    }
  }

  const ask = async <T>(endpoint: EtcdEndpoint, path: string, body: object, schema: z.ZodType<T>, timeoutMs: number, signal: AbortSignal, wantsToken = true): Promise<T> => {
    const answer = schema.safeParse(await withToken(endpoint, signal, (token) => transport.post({ endpoint, path, body, token }, timeoutMs, signal), wantsToken))
    if (answer.success) return answer.data
    throw new HoldfastError('Internal', `etcd on ${addressOf(endpoint)} answered ${path} in a shape that is not known: ${z.prettifyError(answer.error)}`)
  }

  /** One endpoint was enough: refusals are the same everywhere, except of one that has no leader. */
  const isFinal = (error: unknown): boolean => {
    const refusal = etcdRefusalOf(error)
    return refusal === null ? isHoldfastError(error) : verdictOn(refusal) === 'final'
  }

  const failureAt = (endpoint: EtcdEndpoint, path: string, signal: AbortSignal) => (error: unknown): never => {
    signal.throwIfAborted()
    throw isHoldfastError(error) ? error : unavailable([endpoint], path, error)
  }

  const inOrder = async <T>(path: string, signal: AbortSignal, attempt: (endpoint: EtcdEndpoint) => Promise<T>): Promise<T> => {
    let last: unknown = new Error('it has no endpoint')
    for (const endpoint of transport.order()) {
      try {
        return await attempt(endpoint)
      } catch (error) {
        signal.throwIfAborted()
        if (isFinal(error) || error instanceof AmbiguousWrite) throw error
        last = error
      }
    }
    throw unavailable(access.endpoints, path, last)
  }

  return {
    access,
    order: () => transport.order(),
    read: (path, body, schema, signal) =>
      firstAnswer(transport.order(), signal, isFinal, (last) => unavailable(access.endpoints, path, last), (endpoint, losing) => ask(endpoint, path, body, schema, attemptMs, losing)),
    manage: (path, body, schema, signal) => inOrder(path, signal, (endpoint) => ask(endpoint, path, body, schema, manageMs, signal)),
    write: (path, body, schema, signal) => inOrder(path, signal, async (endpoint) => {
      try {
        return await ask(endpoint, path, body, schema, attemptMs, signal)
      } catch (error) {
        const refusal = etcdRefusalOf(error)
        const isOpen = error instanceof Unanswered || (refusal !== null && verdictOn(refusal) === 'unsettled')
        throw isOpen ? new AmbiguousWrite(`etcd on ${addressOf(endpoint)} did not say whether it wrote`, { cause: error }) : error
      }
    }),
    askMember: (endpoint, path, body, schema, signal) => ask(endpoint, path, body, schema, attemptMs, signal, false).catch(failureAt(endpoint, path, signal)),
    at: (endpoint, path, body, schema, signal, timeoutMs = attemptMs) => ask(endpoint, path, body, schema, timeoutMs, signal).catch(failureAt(endpoint, path, signal)),
    streamAt: (endpoint, path, body, signal) => withToken(endpoint, signal, (token) => transport.stream({ endpoint, path, body, token }, attemptMs, signal)),
    authenticates: async (name, password, signal) => {
      try {
        await inOrder('/v3/auth/authenticate', signal, (endpoint) => authenticate(endpoint, name, password, signal))
        return true
      } catch (error) {
        if (etcdRefusalOf(error)?.reason === wrongPassword) return false
        throw error
      }
    },
  }
}

type Attempt<T> = { readonly done: true; readonly value: T } | { readonly done: false; readonly error: unknown }

/** Asks the first, and each next one when those before it failed or are late; the first answer counts, the others are given up. */
async function firstAnswer<T>(
  endpoints: readonly EtcdEndpoint[], signal: AbortSignal, isFinal: (error: unknown) => boolean, failure: (last: unknown) => Error,
  ask: (endpoint: EtcdEndpoint, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const losing = AbortSignal.any([signal, over.signal])
  const running = new Set<Promise<Attempt<T>>>()
  const waiting = [...endpoints]
  let last: unknown = new Error('it has no endpoint')
  try {
    for (;;) {
      const next = waiting.shift()
      if (next !== undefined) running.add(attemptOf(ask(next, losing)))
      if (running.size === 0) throw failure(last)
      const ended = await raceOf(running, waiting.length > 0, losing)
      if (ended === 'late') continue
      running.delete(ended.attempt)
      if (ended.outcome.done) return ended.outcome.value
      signal.throwIfAborted()
      last = ended.outcome.error
      if (isFinal(last)) throw last
    }
  } finally {
    over.abort()
  }
}

function attemptOf<T>(work: Promise<T>): Promise<Attempt<T>> {
  return work.then((value) => ({ done: true, value }) as const, (error: unknown) => ({ done: false, error }) as const)
}

interface Ended<T> {
  readonly attempt: Promise<Attempt<T>>
  readonly outcome: Attempt<T>
}

function raceOf<T>(running: ReadonlySet<Promise<Attempt<T>>>, mayHurry: boolean, signal: AbortSignal): Promise<Ended<T> | 'late'> {
  const ends = [...running].map((attempt) => attempt.then((outcome): Ended<T> => ({ attempt, outcome })))
  if (!mayHurry) return Promise.race(ends)
  const late = sleep(lateMs, 'late' as const, { signal, ref: false }).catch(() => new Promise<never>(() => undefined))
  return Promise.race<Ended<T> | 'late'>([...ends, late])
}
