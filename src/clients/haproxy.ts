/**
 * The runtime API of an endpoint's HAProxy, over mutual TLS. One connection a command, as HAProxy wants it outside of its
 * interactive mode: it answers and closes. No policy.
 */
import { checkServerIdentity, connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { effectDone } from './effects.ts'
import { unreachable } from './unreachable.ts'

export interface RuntimeAddress {
  readonly host: string
  readonly port: number
  /** The name that the proxy's certificate has to carry. */
  readonly serverName: string
  readonly ca: string
  readonly cert: string
  readonly key: Secret
  /** For an answer; the first handshake counts with it. */
  readonly timeoutMs: number
}

export interface HaproxyInfo {
  readonly version: string
  readonly pid: number
  readonly uptimeSeconds: number
  readonly connections: number
}

export interface ServerState {
  readonly backend: string
  readonly server: string
  readonly address: string
  readonly port: number
  readonly operational: 'stopped' | 'starting' | 'running' | 'stopping'
  /** Bits as HAProxy has them: 1 maintenance, 8 drained, … 0 means that it takes traffic. */
  readonly adminBits: number
  readonly weight: number
}

/** A connection that waits for its one command. */
export interface RuntimeConnection {
  /** False once it was used, closed, or broke. */
  readonly usable: boolean
  /** Once. Errors: `MemberUnreachable`. Without the final empty line; HAProxy's own refusals come back as text. */
  ask(command: string, signal?: AbortSignal): Promise<string>
  close(): void
}

/** Errors: those of `RuntimeConnection.ask`. */
export function runtimeCommand(address: RuntimeAddress, command: string, signal?: AbortSignal): Promise<string> {
  assertOneLine(command)
  return openRuntime(address).ask(command, signal)
}

/** At once; whether it comes about is told by what is asked of it. Ahead of time it saves the command the handshake. */
export function openRuntime(address: RuntimeAddress): RuntimeConnection {
  const socket = openSocket(address)
  let isUsed = false
  let broke: Error | null = null
  socket.on('error', (error: Error) => { broke = error })
  return {
    get usable() {
      return !isUsed && !socket.destroyed && !socket.readableEnded
    },
    ask(command, signal) {
      assertOneLine(command)
      if (isUsed) throw new RangeError('a runtime connection takes one command')
      isUsed = true
      if (socket.destroyed) return Promise.reject(unanswered(address, broke ?? new Error('the connection was closed')))
      return answerOf(address, socket, command, signal).then((answer) => {
        if (!/^(get|show) /.test(command)) effectDone('proxy', command.split('; ').map((one) => one.split(' ').slice(0, 2).join(' ')).join('; '))
        return answer
      })
    },
    close() {
      isUsed = true
      socket.destroy()
    },
  }
}

function assertOneLine(command: string): void {
  if (/[\r\n]/.test(command)) throw new RangeError('a runtime command is one line')
}

function answerOf(address: RuntimeAddress, socket: TLSSocket, command: string, signal?: AbortSignal): Promise<string> {
  const limit = AbortSignal.timeout(address.timeoutMs)
  const either = signal === undefined ? limit : AbortSignal.any([signal, limit])
  return new Promise((resolve, reject) => {
    const end = (outcome: () => void): void => {
      either.removeEventListener('abort', giveUp)
      socket.destroy()
      outcome()
    }
    const fail = (error: unknown): void => end(() => reject(unanswered(address, error)))
    const giveUp = (): void => fail(either.reason)
    if (either.aborted) return giveUp()
    either.addEventListener('abort', giveUp, { once: true })
    socket.once('error', fail)
    readAll(socket, fail, (text) => end(() => {
      if (text === '') reject(unanswered(address, new Error('it closed the connection without an answer')))
      else resolve(text.trimEnd())
    }))
    // kept until the handshake is done
    socket.write(`${command}\n`)
  })
}

/** The hash of the configuration that it has loaded, which rendering puts into a variable of the process; empty when there is none. */
export async function loadedRevision(address: RuntimeAddress, signal?: AbortSignal): Promise<string> {
  const answer = await runtimeCommand(address, 'get var proc.revision', signal)
  return /value=<([0-9a-f]*)>/.exec(answer)?.[1] ?? ''
}

export async function showInfo(address: RuntimeAddress, signal?: AbortSignal): Promise<HaproxyInfo> {
  return parseInfo(await runtimeCommand(address, 'show info', signal))
}

export async function showServersState(address: RuntimeAddress, signal?: AbortSignal): Promise<ServerState[]> {
  return parseServersState(await runtimeCommand(address, 'show servers state', signal))
}

const infoSchema = z
  .object({
    Version: z.string(),
    Pid: z.coerce.number(),
    Uptime_sec: z.coerce.number(),
    CurrConns: z.coerce.number(),
  })
  .transform((info): HaproxyInfo => ({
    version: info.Version, pid: info.Pid, uptimeSeconds: info.Uptime_sec, connections: info.CurrConns,
  }))

/** `Name: value`, one a line. */
export function parseInfo(text: string): HaproxyInfo {
  const lines = text.split('\n').map((line) => /^(\w+): ?(.*)$/.exec(line))
  const pairs = lines.flatMap((match) => (match === null ? [] : [[match[1], match[2]?.trim()]]))
  return parsed(infoSchema, Object.fromEntries(pairs), 'show info')
}

const operational = ['stopped', 'starting', 'running', 'stopping'] as const
const serverSchema = z
  .object({
    be_name: z.string(),
    srv_name: z.string(),
    srv_addr: z.string(),
    srv_port: z.coerce.number(),
    srv_op_state: z.coerce.number().pipe(z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)])),
    srv_admin_state: z.coerce.number(),
    srv_uweight: z.coerce.number(),
  })
  .transform((server): ServerState => ({
    backend: server.be_name,
    server: server.srv_name,
    address: server.srv_addr,
    port: server.srv_port,
    operational: operational[server.srv_op_state],
    adminBits: server.srv_admin_state,
    weight: server.srv_uweight,
  }))

/** Version 1 of the format: a line with the version, a comment that names the columns, one line a server. */
export function parseServersState(text: string): ServerState[] {
  const [version, header, ...lines] = text.split('\n')
  if (version?.trim() !== '1' || header?.startsWith('#') !== true) {
    throw new HoldfastError('Internal', `HAProxy's answer to "show servers state" is not version 1 of the format: ${firstLine(text)}`)
  }
  const columns = header.slice(1).trim().split(/\s+/)
  return lines.filter((line) => line.trim() !== '').map((line) => {
    const fields = line.trim().split(/\s+/)
    return parsed(serverSchema, Object.fromEntries(columns.map((column, index) => [column, fields[index]])), 'show servers state')
  })
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, command: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new HoldfastError('Internal', `HAProxy's answer to "${command}" has another shape than expected: ${z.prettifyError(result.error)}`)
}

function openSocket(address: RuntimeAddress): TLSSocket {
  return connect({
    host: address.host,
    port: address.port,
    servername: address.serverName,
    ca: address.ca,
    cert: address.cert,
    key: address.key.reveal(),
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_host, certificate) => checkServerIdentity(address.serverName, certificate),
  })
}

/** More than any answer we ask for; something else is talking. */
const longestAnswer = 1024 * 1024

function readAll(socket: TLSSocket, fail: (error: Error) => void, done: (text: string) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > longestAnswer) fail(new Error(`its answer is longer than ${longestAnswer} bytes`))
  })
  socket.once('close', (hadError) => {
    if (!hadError) done(Buffer.concat(chunks).toString('utf8'))
  })
}

function unanswered({ host, port }: RuntimeAddress, error: unknown): HoldfastError {
  return unreachable(`HAProxy on ${host}:${port}`, error, { host, port })
}

function firstLine(text: string): string {
  return text.slice(0, 100).split('\n')[0] ?? ''
}
