/** One request to one endpoint: mutual TLS with what is held and trusted at that moment, connections that are kept, a deadline. */
import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import { checkServerIdentity, connect, type ConnectionOptions } from 'node:tls'
import { Pool, type buildConnector } from 'undici'
import { HoldfastError } from '../../domain/errors.ts'
import type { EtcdAccess, EtcdEndpoint } from '../etcd.ts'
import { unreachable } from '../unreachable.ts'
import { parseJson, refusalIn, refused } from './refusals.ts'

export interface Request {
  readonly endpoint: EtcdEndpoint
  readonly path: string
  readonly body: object
  readonly token: string | null
}

export interface Transport {
  readonly access: EtcdAccess
  /** Those first that answer fastest, those last that failed when they were asked last. */
  order(): readonly EtcdEndpoint[]
  /** Errors: `NotSent`, `Unanswered`, etcd's refusal; the caller's own abort reason. */
  post(request: Request, timeoutMs: number, signal: AbortSignal): Promise<unknown>
  /** The lines of an answer that has no end of its own. `timeoutMs` is for its beginning. */
  stream(request: Request, timeoutMs: number, signal: AbortSignal): Promise<Readable>
  close(): Promise<void>
}

/** Nothing of the request has reached the server. */
export class NotSent extends Error {
  override readonly name = 'NotSent'
}

/** It was sent, and nobody knows what became of it. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered'
}

/** Of a host that swallows packets. */
const connectTimeoutMs = 400
/** Both sides compute, on machines that may be busy. Shorter than an attempt: what could not be connected to was not sent. */
const handshakeTimeoutMs = 900
const connections = 16
const keepAliveMs = 60_000
/** More than any answer to what we ask. */
const maxAnswerBytes = 32 * 1024 * 1024
/** How much the last answer counts in the average, and what a failure costs in milliseconds. */
const newestShare = 0.2
const failurePenaltyMs = 10_000

export function openTransport(access: EtcdAccess): Transport {
  const pools = new Map<string, Pool>()
  const paceMs = new Map<string, number>()
  const poolAt = (endpoint: EtcdEndpoint): Pool => {
    const key = addressOf(endpoint)
    const pool = pools.get(key) ?? openPool(access, endpoint)
    pools.set(key, pool)
    return pool
  }
  const note = (endpoint: EtcdEndpoint, tookMs: number): void => {
    const key = addressOf(endpoint)
    const before = paceMs.get(key)
    const isUsual = before !== undefined && before < failurePenaltyMs && tookMs < failurePenaltyMs
    paceMs.set(key, isUsual ? before + newestShare * (tookMs - before) : tookMs)
  }
  const begin = async (request: Request, limit: AbortSignal, caller: AbortSignal): Promise<Readable> => {
    const { endpoint, path, body, token } = request
    const headers = { 'content-type': 'application/json', ...(token !== null && { authorization: token }) }
    const began = performance.now()
    try {
      const answer = await poolAt(endpoint).request({ method: 'POST', path, headers, body: JSON.stringify(body), signal: limit })
      note(endpoint, performance.now() - began)
      if (answer.statusCode !== 200) throw refused(addressOf(endpoint), path, refusalIn(answer.statusCode, await answer.body.text()))
      return answer.body
    } catch (error) {
      caller.throwIfAborted()
      if (error instanceof HoldfastError) throw error
      note(endpoint, failurePenaltyMs)
      throw error instanceof NotSent ? error : new Unanswered(`etcd on ${addressOf(endpoint)} did not answer ${path}`, { cause: error })
    }
  }
  return {
    access,
    order: () => access.endpoints.toSorted((one, other) => (paceMs.get(addressOf(one)) ?? 0) - (paceMs.get(addressOf(other)) ?? 0)),
    post: async (request, timeoutMs, caller) => {
      caller.throwIfAborted()
      const body = await begin(request, AbortSignal.any([caller, AbortSignal.timeout(timeoutMs)]), caller)
      const text = await textOf(body, request.endpoint).catch((error: unknown) => {
        caller.throwIfAborted()
        throw error
      })
      return parseJson(text)
    },
    stream: async (request, timeoutMs, caller) => {
      caller.throwIfAborted()
      // a timer that can be cleared: the stream outlives the deadline of its beginning
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), timeoutMs)
      try {
        return await begin(request, AbortSignal.any([caller, late.signal]), caller)
      } finally {
        clearTimeout(timer)
      }
    },
    close: async () => {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
    },
  }
}

export function addressOf({ host, port }: EtcdEndpoint): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

function openPool(access: EtcdAccess, endpoint: EtcdEndpoint): Pool {
  return new Pool(`https://${addressOf(endpoint)}`, {
    connections, keepAliveTimeout: keepAliveMs, keepAliveMaxTimeout: keepAliveMs, pipelining: 1,
    // the callers' deadlines are the only ones
    headersTimeout: 0, bodyTimeout: 0,
    connect: connectorTo(access, endpoint),
  })
}

/** Certificates and trust are read at each connection. */
function connectorTo(access: EtcdAccess, { host, port, serverName }: EtcdEndpoint): buildConnector.connector {
  return (_options, callback) => {
    const socket = connect({
      host, port, ...tlsNow(access), minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'],
      // a server name is a name: addresses are only compared with what the certificate carries
      ...(isIP(serverName) === 0 && { servername: serverName }),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    })
    const timers = [connectTimeoutMs, handshakeTimeoutMs].map((timeoutMs) => setTimeout(() => socket.destroy(timedOut()), timeoutMs))
    const fail = (error: Error): void => {
      for (const timer of timers) clearTimeout(timer)
      callback(new NotSent(`etcd on ${host}:${port} cannot be connected to`, { cause: error }), null)
    }
    socket.setNoDelay(true)
    socket.once('connect', () => clearTimeout(timers[0]))
    socket.once('error', fail)
    socket.once('secureConnect', () => {
      for (const timer of timers) clearTimeout(timer)
      socket.off('error', fail)
      callback(null, socket)
    })
  }
}

function tlsNow({ caPem, certificatePem, keyPem }: EtcdAccess): ConnectionOptions {
  return {
    ...(caPem !== null && { ca: caPem }),
    ...(certificatePem !== null && keyPem !== null && { cert: certificatePem, key: keyPem.reveal() }),
  }
}

function timedOut(): Error {
  return Object.assign(new Error('no connection within the time allowed'), { code: 'ETIMEDOUT' })
}

async function textOf(body: Readable, endpoint: EtcdEndpoint): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('an answer is bytes')
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > maxAnswerBytes) throw new HoldfastError('PayloadTooLarge', `etcd on ${addressOf(endpoint)} answers with more than ${maxAnswerBytes} bytes`)
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw new Unanswered(`etcd on ${addressOf(endpoint)} broke off its answer`, { cause: error })
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What a caller gets when none of these endpoints answered. */
export function unavailable(endpoints: readonly EtcdEndpoint[], path: string, last: unknown): HoldfastError {
  const cause = last instanceof Error && last.cause !== undefined ? last.cause : last
  const where = endpoints.map(addressOf).join(', ')
  const { message, facts } = unreachable(`etcd on ${where}`, cause, { endpoints: where, path })
  return new HoldfastError('EtcdUnavailable', message, { cause: last, facts, next: 'See that two of its three members run and reach each other' })
}
