/** Containers of one engine. "Already so" is success everywhere; what is not ours is never touched. */
import type { Duplex } from 'node:stream'
import type { Blueprint, MountedVolume, RenderedFile } from '../../domain/blueprint.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { label } from '../../domain/names.ts'
import { effectDone } from '../effects.ts'
import { archivesFor } from './archive.ts'
import { containerBody } from './containerBody.ts'
import { readFrames, type Output } from './multiplexed.ts'
import {
  containerListSchema, containerSchema, execSchema, exitSchema, idSchema, type ContainerDetails, type ContainerListed,
} from './replies.ts'
import { refusalOf, type EngineRequest, type Transport } from './transport.ts'

export interface ExecResult extends Output {
  readonly exitCode: number
}

/** A command that waits for a word: begun ahead of time, because to begin it takes longer than what it does. */
export interface OpenExec {
  /** A line to its standard input. */
  say(line: string): void
  /** The first line that it writes, without waiting for its end, which the engine tells late. Null when it ended without one. Errors: as of `exec`. */
  readonly firstLine: Promise<string | null>
  /** Errors: as of `exec`. */
  readonly ended: Promise<ExecResult>
}

export interface ContainerClient {
  listContainers(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ContainerListed[]>
  /** By id or name; null when there is none. */
  findContainer(idOrName: string, signal: AbortSignal): Promise<ContainerDetails | null>
  /** As `findContainer`, but none is the error `NotFound`. */
  inspectContainer(idOrName: string, signal: AbortSignal): Promise<ContainerDetails>
  /**
   * Creates, does not start. Another container of the same name and installation is returned as it is (`existed`): compare its labels.
   * Errors: `ResourceConflict` when the name belongs to somebody else; `NotFound` when the image or network is missing.
   */
  createContainer(blueprint: Blueprint, signal: AbortSignal): Promise<{ readonly id: string; readonly existed: boolean }>
  /** Files as user and group 5432, parent directories made, one archive a volume. Nothing is deleted. */
  putFiles(containerId: string, mounts: readonly MountedVolume[], files: readonly RenderedFile[], signal: AbortSignal): Promise<void>
  /** Errors: `ResourceConflict` when a published port is taken. */
  startContainer(containerId: string, signal: AbortSignal): Promise<void>
  /**
   * Sends the stop signal; the engine kills after `timeoutSeconds`. Returns when it has ended, or after `waitMs`:
   * the engine goes on without us. Nothing to stop is success.
   */
  stopContainer(containerId: string, timeoutSeconds: number, signal: AbortSignal, waitMs?: number): Promise<void>
  /** False when it does not run. */
  killContainer(containerId: string, signalName: string, signal: AbortSignal): Promise<boolean>
  /** Volumes stay. Without `force`, a running container is the error `Conflict`. */
  removeContainer(containerId: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<void>
  logs(containerId: string, options: { readonly tail: number; readonly stderr?: boolean }, signal: AbortSignal): Promise<string>
  /** Output beyond the limit is dropped. */
  exec(containerId: string, argv: readonly string[], options: ExecOptions, signal: AbortSignal): Promise<ExecResult>
  /** As `exec`, with a standard input that ends with the caller: a command that reads its end has to leave things as they are. */
  openExec(containerId: string, argv: readonly string[], options: ExecOptions, signal: AbortSignal): Promise<OpenExec>
  /** Waits until it does not run, at most `timeoutMs`; its exit code. */
  waitExit(containerId: string, timeoutMs: number, signal: AbortSignal): Promise<number>
}

export interface ExecOptions {
  readonly user?: string
  readonly timeoutMs?: number
  /** 1 MiB by default. */
  readonly maxOutputBytes?: number
}

const maxOutputBytes = 1024 * 1024
/** Beyond the time that the engine itself gives a container to stop. */
const stopGraceMs = 15_000

export function containerClient(transport: Transport, extraLabels: Readonly<Record<string, string>>): ContainerClient {
  const at = (id: string, rest = ''): string => `/containers/${encodeURIComponent(id)}${rest}`

  const inspectContainer: ContainerClient['inspectContainer'] = (id, signal) =>
    transport.json({ method: 'GET', path: at(id, '/json') }, containerSchema, signal)

  const findContainer: ContainerClient['findContainer'] = async (id, signal) => {
    try {
      return await inspectContainer(id, signal)
    } catch (error) {
      if (refusalOf(error)?.status === 404) return null
      throw error
    }
  }

  return {
    inspectContainer,
    findContainer,

    listContainers: (labels, signal) =>
      transport.json({ method: 'GET', path: '/containers/json', query: { all: true, filters: labelFilter(labels) } }, containerListSchema, signal),

    createContainer: async (blueprint, signal) => {
      const wanted = { ...blueprint, labels: { ...blueprint.labels, ...extraLabels } }
      try {
        const request = { method: 'POST', path: '/containers/create', query: { name: blueprint.name }, body: containerBody(wanted) } as const
        return { id: await transport.json(request, idSchema, signal), existed: false }
      } catch (error) {
        if (refusalOf(error)?.status !== 409) throw error
        const holder = await findContainer(blueprint.name, signal)
        // Gone between the two calls: the next pass creates it.
        if (holder === null) throw error
        assertOurs('container', blueprint.name, wanted.labels, holder.labels)
        return { id: holder.id, existed: true }
      }
    },

    putFiles: async (id, mounts, files, signal) => {
      const archives = await archivesFor(mounts, files)
      await Promise.all(archives.map(({ path, tar }) =>
        transport.send({ method: 'PUT', path: at(id, '/archive'), query: { path }, archive: tar }, signal)))
    },

    startContainer: async (id, signal) => {
      const refusal = await transport.send({ method: 'POST', path: at(id, '/start'), timeoutMs: 60_000 }, signal, [500])
      if (refusal === null) return
      throw startRefused(transport.engine, id, refusal.reason)
    },

    stopContainer: async (id, timeoutSeconds, signal, waitMs) => {
      const enough = waitMs === undefined ? null : AbortSignal.timeout(waitMs)
      const request = { method: 'POST', path: at(id, '/stop'), query: { t: timeoutSeconds }, timeoutMs: timeoutSeconds * 1000 + stopGraceMs } as const
      try {
        await transport.send(request, enough === null ? signal : AbortSignal.any([signal, enough]), [404])
      } catch (error) {
        signal.throwIfAborted()
        if (enough?.aborted !== true) throw error
      }
    },

    killContainer: async (id, signalName, signal) =>
      (await transport.send({ method: 'POST', path: at(id, '/kill'), query: { signal: signalName } }, signal, [404, 409])) === null,

    removeContainer: async (id, { force }, signal) => {
      const refusal = await transport.send({ method: 'DELETE', path: at(id), query: { force, v: false }, timeoutMs: 60_000 }, signal, [404, 409])
      if (refusal?.status !== 409) return
      // 409 is either a removal that is under way, which is what we want, or a container that runs.
      const seen = await findContainer(id, signal)
      if (seen === null || seen.state === 'removing' || seen.state === 'dead') return
      throw new HoldfastError('Conflict', `The container ${seen.name} cannot be removed: ${refusal.reason}`, { facts: { containerId: id } })
    },

    logs: async (id, { tail, stderr = true }, signal) => {
      const body = await transport.stream({ method: 'GET', path: at(id, '/logs'), query: { stdout: true, stderr, tail } }, signal)
      const output = await readFrames(body, maxOutputBytes)
      return output.stdout + output.stderr
    },

    exec: (id, argv, options, signal) => execIn(transport, at(id, '/exec'), argv, options, signal),
    openExec: (id, argv, options, signal) => openExecIn(transport, at(id, '/exec'), argv, options, signal),

    waitExit: (id, timeoutMs, signal) =>
      transport.json({ method: 'POST', path: at(id, '/wait'), query: { condition: 'not-running' }, timeoutMs }, exitSchema, signal),
  }
}

const defaultExecTimeoutMs = 60_000

async function execIn(transport: Transport, path: string, argv: readonly string[], options: ExecOptions, caller: AbortSignal): Promise<ExecResult> {
  return limited(argv, options, caller, async (signal) => {
    const id = await makeExec(transport, path, argv, options, false, signal)
    const outcome = await outcomeOf(transport, id, await transport.stream(startOf(id), signal), options, signal)
    effectDone('docker', `ran ${commandOf(argv)}`)
    return outcome
  })
}

async function openExecIn(transport: Transport, path: string, argv: readonly string[], options: ExecOptions, caller: AbortSignal): Promise<OpenExec> {
  const begun = Promise.withResolvers<Duplex>()
  const firstLine = Promise.withResolvers<string | null>()
  const onStdout = (text: string): void => {
    const [line, ...rest] = text.split('\n')
    if (line === undefined || rest.length === 0) return
    effectDone('docker', `${commandOf(argv)} answered`)
    firstLine.resolve(line)
  }
  const ended = limited(argv, options, caller, async (signal) => {
    const id = await makeExec(transport, path, argv, options, true, signal)
    const stream = await transport.duplex(startOf(id), signal)
    const destroy = (): unknown => stream.destroy(new Error('the caller has left'))
    signal.addEventListener('abort', destroy, { once: true })
    effectDone('docker', `began ${commandOf(argv)}`)
    begun.resolve(stream)
    return outcomeOf(transport, id, stream, options, signal, onStdout).finally(() => signal.removeEventListener('abort', destroy))
  })
  // whoever waits for the beginning is told; whoever waits for the end, too, and nobody has to
  ended.then(() => firstLine.resolve(null), (error: unknown) => {
    begun.reject(error)
    firstLine.reject(error)
  })
  firstLine.promise.catch(() => undefined)
  const stream = await begun.promise
  const say: OpenExec['say'] = (line) => {
    stream.write(`${line}\n`)
    effectDone('docker', `told ${commandOf(argv)}`)
  }
  return { say, firstLine: firstLine.promise, ended }
}

/** Without its arguments, but for the word that says what is wanted. */
function commandOf([program = '', first = '']: readonly string[]): string {
  return [program.split('/').at(-1), ...(/^[a-z]{1,20}$/.test(first) ? [first] : [])].join(' ')
}

async function limited<T>(argv: readonly string[], { timeoutMs = defaultExecTimeoutMs }: ExecOptions, caller: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signal = AbortSignal.any([caller, AbortSignal.timeout(timeoutMs)])
  try {
    return await work(signal)
  } catch (error) {
    caller.throwIfAborted()
    if (!signal.aborted) throw error
    throw new HoldfastError('TimedOut', `The command ${argv[0] ?? ''} did not end within ${timeoutMs} ms`, { cause: error })
  }
}

async function makeExec(transport: Transport, path: string, argv: readonly string[], { user }: ExecOptions, hasInput: boolean, signal: AbortSignal): Promise<string> {
  const body = { AttachStdin: hasInput, AttachStdout: true, AttachStderr: true, Tty: false, Cmd: argv, ...(user === undefined ? {} : { User: user }) }
  return transport.json({ method: 'POST', path, body }, idSchema, signal)
}

function startOf(id: string): EngineRequest {
  return { method: 'POST', path: `/exec/${id}/start`, body: { Detach: false, Tty: false } }
}

async function outcomeOf(transport: Transport, id: string, body: AsyncIterable<unknown>, options: ExecOptions, signal: AbortSignal, onStdout?: (text: string) => void): Promise<ExecResult> {
  const output = await readFrames(body, options.maxOutputBytes ?? maxOutputBytes, onStdout)
  const { ExitCode } = await transport.json({ method: 'GET', path: `/exec/${id}/json` }, execSchema, signal)
  return { ...output, exitCode: ExitCode ?? -1 }
}

export function labelFilter(labels: Readonly<Record<string, string>>): { readonly label: readonly string[] } {
  return { label: Object.entries(labels).map(([name, value]) => `${name}=${value}`) }
}

/** A name is ours when it carries our installation's label; anything else is left alone and reported. */
export function assertOurs(kind: string, name: string, wanted: Readonly<Record<string, string>>, found: Readonly<Record<string, string>>): void {
  const installation = wanted[label.installation]
  if (installation !== undefined && found[label.installation] === installation) return
  throw new HoldfastError('ResourceConflict', `The ${kind} ${name} exists, but does not belong to this installation`, {
    next: `Remove or rename the ${kind} ${name}, or choose another installation name`,
    facts: { kind, name },
  })
}

/** The engine has no status of its own for a taken port; these are its words, and those of the kernel behind it. */
const portTaken = /port is already allocated|address already in use|cannot assign requested address/i

/** An engine that was killed while it started a container finds the beginning of that start in its way for ever. */
const startedBefore = /^task [0-9a-f]+: already exists/i

function startRefused(engine: string, id: string, reason: string): HoldfastError {
  if (startedBefore.test(reason)) {
    return new HoldfastError('Internal', `The engine ${engine} cannot start the container ${id} any more: ${reason}`, { facts: { engine, reason, cannotEverStart: true } })
  }
  if (!portTaken.test(reason)) return new HoldfastError('Internal', `The engine ${engine} could not start the container ${id}: ${reason}`, { facts: { engine, reason } })
  return new HoldfastError('ResourceConflict', `A port of the container ${id} is taken on its host: ${reason}`, {
    next: 'Stop what holds the port; the container is started as soon as it is free',
    facts: { engine, reason },
  })
}
