/** One request, one connection, as HTTP/1.0 wants it: a deadline, an abort signal, and an answer of a bounded size. */
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { checkServerIdentity, createSecureContext } from 'node:tls'
import type { PatroniAddress, PatroniLogin } from '../patroni.ts'
import { effectDone } from '../effects.ts'
import { unreachable } from '../unreachable.ts'

export interface PatroniRequest {
  readonly method: 'GET' | 'PATCH' | 'POST'
  readonly path: string
  readonly body?: object
  readonly login?: PatroniLogin
  readonly timeoutMs: number
}

export interface PatroniAnswer {
  readonly status: number
  readonly text: string
  /** Who answered, for messages. */
  readonly where: string
}

export type Ask = (request: PatroniRequest, signal: AbortSignal) => Promise<PatroniAnswer>

/** More than any answer we ask for; something else is talking. */
const longestAnswer = 1024 * 1024
/** Sessions of one address: the newest is enough. */
const keptSessions = 2

/** Opens nothing yet. The certificates are parsed once, and their TLS sessions resumed: a look a second costs a fraction of a handshake. */
export function openTransport(address: PatroniAddress): Ask {
  const { host, port, serverName, ca, cert, key } = address
  const where = `${host}:${port}`
  const secureContext = createSecureContext({ ca, cert, key: key.reveal(), minVersion: 'TLSv1.2' })
  const agent = new Agent({ keepAlive: false, maxCachedSessions: keptSessions })
  const tls = {
    host, port, agent, secureContext, servername: serverName,
    checkServerIdentity: (_host: string, certificate: Parameters<typeof checkServerIdentity>[1]) => checkServerIdentity(serverName, certificate),
  }
  return async ({ method, path, body, login, timeoutMs }, caller) => {
    caller.throwIfAborted()
    const limit = AbortSignal.timeout(timeoutMs)
    const text = body === undefined ? null : JSON.stringify(body)
    const headers = {
      ...(text !== null && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...(login !== undefined && { authorization: `Basic ${Buffer.from(`${login.username}:${login.password.reveal()}`).toString('base64')}` }),
    }
    try {
      const answered = await new Promise<PatroniAnswer>((resolve, reject) => {
        const request = httpsRequest({ ...tls, method, path, headers, signal: AbortSignal.any([caller, limit]) })
        request.once('error', reject)
        request.once('response', (response) => readAll(response, reject, (answer) => resolve({ status: response.statusCode ?? 0, text: answer, where })))
        request.end(text ?? undefined)
      })
      if (method !== 'GET') effectDone('patroni', `${method} ${path}`)
      return answered
    } catch (error) {
      caller.throwIfAborted()
      throw unreachable(`Patroni on ${where}`, limit.aborted ? limit.reason : error, { host, port })
    }
  }
}

function readAll(response: IncomingMessage, fail: (error: Error) => void, done: (text: string) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > longestAnswer) response.destroy(new Error(`its answer is longer than ${longestAnswer} bytes`))
  })
  response.once('error', fail)
  response.once('end', () => done(Buffer.concat(chunks).toString('utf8')))
}
