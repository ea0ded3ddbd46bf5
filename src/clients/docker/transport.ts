/**
 * One request to one engine: a deadline, an abort signal, and errors that say what happened.
 * Paths are unversioned, so that the engine answers in its own newest API: pinning an old version would be refused by new engines.
 */
import Docker from 'dockerode'
import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import type { Secret } from '../../domain/secret.ts'
import { effectDone } from '../effects.ts'

export interface EngineConnection {
  /** `unix:///path` or `tcp://host:port`. */
  readonly engine: string
  /** Mutual TLS of a remote engine, PEM. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: Secret }
}

export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD'
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | object>>
  readonly body?: object
  /** A tar archive. */
  readonly archive?: Buffer
  /** Until the answer is complete (of a stream: until it begins). */
  readonly timeoutMs?: number
}

/** The engine's refusal: HTTP status and its own words. */
export interface Refusal {
  readonly status: number
  readonly reason: string
}

export interface Transport {
  readonly engine: string
  /** The parsed body. Errors: `EngineUnreachable`, `NotFound` (404), `Conflict` (409), `Internal`; the caller's own abort reason. */
  json<T>(request: EngineRequest, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** For requests whose answer does not matter. Refusals whose status is in `accept` are values. */
  send(request: EngineRequest, signal: AbortSignal, accept?: readonly number[]): Promise<Refusal | null>
  /** The body as it comes; ends or fails when `signal` aborts. */
  stream(request: EngineRequest, signal: AbortSignal): Promise<IncomingMessage>
  /** The connection itself, in both directions, once the engine has handed it over. It is the caller's to destroy. */
  duplex(request: EngineRequest, signal: AbortSignal): Promise<Duplex>
}

/** Ample for an engine that creates containers on a busy disk; what takes longer says so itself. */
const defaultTimeoutMs = 20_000

const fine = { 200: true, 201: true, 204: true, 304: true }

export function openTransport(connection: EngineConnection): Transport {
  const docker = new Docker(dockerOptions(connection))
  const { engine } = connection
  const call = (request: EngineRequest, signal: AbortSignal, answer: AnswerKind): Promise<unknown> => dial(docker, engine, request, signal, answer)
  return {
    engine,
    json: async (request, schema, signal) => {
      const reply = schema.safeParse(await call(request, signal, 'whole'))
      if (reply.success) return reply.data
      throw new HoldfastError('Internal', `The engine ${engine} answered ${request.method} ${request.path} in a shape that is not known: ${z.prettifyError(reply.error)}`)
    },
    send: async (request, signal, accept = []) => {
      try {
        await call(request, signal, 'whole')
        return null
      } catch (error) {
        const refusal = refusalOf(error)
        if (refusal !== null && accept.includes(refusal.status)) return refusal
        throw error
      }
    },
    stream: async (request, signal) => {
      const reply = await call(request, signal, 'stream')
      return streamSchema.parse(reply)
    },
    duplex: async (request, signal) => duplexSchema.parse(await call(request, signal, 'duplex')),
  }
}

type AnswerKind = 'whole' | 'stream' | 'duplex'

const duplexSchema = z.custom<Duplex>((value) => value instanceof Duplex)
const streamSchema = z.custom<IncomingMessage>((value) => typeof value === 'object' && value !== null && 'pipe' in value)

/** For the library itself, where an image is built or a helper is made. Errors: `ConfigInvalid`. */
export function dockerOptions({ engine, tls }: EngineConnection): Docker.DockerOptions {
  // An empty host beats DOCKER_HOST, which the library would otherwise mix in.
  if (engine.startsWith('unix://')) return { socketPath: engine.slice('unix://'.length), host: '', protocol: 'http' }
  const url = URL.canParse(engine) ? new URL(engine) : null
  if (url === null || url.protocol !== 'tcp:' || url.port === '') {
    throw new HoldfastError('ConfigInvalid', `The engine address ${engine} is neither unix:///path nor tcp://host:port`)
  }
  const at = { host: url.hostname, port: url.port }
  if (tls === undefined) return { ...at, protocol: 'http' }
  return { ...at, protocol: 'https', ca: tls.ca, cert: tls.cert, key: tls.key.reveal() }
}

async function dial(docker: Docker, engine: string, request: EngineRequest, caller: AbortSignal, answer: AnswerKind): Promise<unknown> {
  caller.throwIfAborted()
  const timeoutMs = request.timeoutMs ?? defaultTimeoutMs
  // A timer that can be cleared, unlike AbortSignal.timeout: a stream must outlive the deadline of its beginning.
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), timeoutMs)
  try {
    const answered = await new Promise<unknown>((resolve, reject) => {
      docker.modem.dial(dialOptions(request, AbortSignal.any([caller, deadline.signal]), answer), (error: unknown, reply: unknown) => {
        if (error === null || error === undefined) resolve(reply)
        // The library's errors are errors; the schema below reads what they carry.
        else reject(error instanceof Error ? error : new Error('the library failed without an error', { cause: error }))
      })
    })
    tellEffect(request)
    return answered
  } catch (error) {
    caller.throwIfAborted()
    if (deadline.signal.aborted) throw unreachable(engine, `did not answer ${request.method} ${request.path} within ${timeoutMs} ms`, error)
    throw translate(engine, request, error)
  } finally {
    clearTimeout(timer)
  }
}

/** Commands are told by who runs them: their answer begins before they end. */
function tellEffect({ method, path }: EngineRequest): void {
  if (method === 'GET' || method === 'HEAD' || /\/(exec|wait)$|^\/exec\//.test(path)) return
  effectDone('docker', `${method} ${path.replace(/^(\/(?!create$)\w+)\/(?!create$)[^/]+/, '$1/{id}')}`)
}

function dialOptions(request: EngineRequest, abortSignal: AbortSignal, answer: AnswerKind): Parameters<Docker['modem']['dial']>[0] {
  return {
    method: request.method,
    path: request.query === undefined ? request.path : `${request.path}?`,
    options: { _query: request.query ?? {}, _body: request.body ?? {} },
    ...(request.archive === undefined ? {} : { file: request.archive }),
    statusCodes: fine,
    isStream: answer !== 'whole',
    // an engine that does not hand the connection over answers with a status of its own
    ...(answer === 'duplex' && { hijack: true, openStdin: true }),
    abortSignal,
  }
}

const refusedSchema = z.object({
  statusCode: z.int(),
  json: z.union([z.object({ message: z.string() }).transform(({ message }) => message), z.unknown().transform(() => null)]).optional(),
  message: z.string(),
})

function translate(engine: string, request: EngineRequest, error: unknown): HoldfastError {
  const refused = refusedSchema.safeParse(error)
  if (!refused.success) return unreachable(engine, 'cannot be reached', error)
  const status = refused.data.statusCode
  const reason = refused.data.json ?? refused.data.message
  return new HoldfastError(codeOf(status), `The engine ${engine} refused ${request.method} ${request.path}: ${reason}`, {
    facts: { engine, status, reason },
  })
}

function codeOf(status: number): 'NotFound' | 'Conflict' | 'Internal' {
  if (status === 404) return 'NotFound'
  return status === 409 ? 'Conflict' : 'Internal'
}

const refusalSchema = z.object({ status: z.int(), reason: z.string() })

/** What an engine answered, if `error` is such an answer. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof HoldfastError)) return null
  const refusal = refusalSchema.safeParse(error.facts)
  return refusal.success ? refusal.data : null
}

export function unreachable(engine: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('EngineUnreachable', `The engine ${engine} ${what}`, {
    next: 'See that the Docker engine of this host runs and can be reached',
    facts: { engine },
    cause,
  })
}
