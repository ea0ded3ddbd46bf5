/** The disks helper of one host, through the engine's exec: see templates/images/disks. */
import { z } from 'zod'
import type { EngineClient } from '../clients/docker.ts'
import { HoldfastError, type ErrorCode } from '../domain/errors.ts'

export interface Disk {
  /** Path of the block device on the host. */
  readonly device: string
  readonly sizeBytes: number
}

export interface Disks {
  create(name: string, bytes: number, signal: AbortSignal): Promise<Disk>
  grow(name: string, bytes: number, signal: AbortSignal): Promise<Disk>
  /** Errors: `Conflict` while it is mounted. */
  remove(name: string, signal: AbortSignal): Promise<void>
}

const diskSchema = z.object({ device: z.string(), sizeBytes: z.number() })
const removedSchema = z.object({ removed: z.literal(true) })
const failureSchema = z.object({ error: z.string(), message: z.string() })

/** The helper's codes that mean something to us; the rest are faults of the host. */
const codes: Readonly<Record<string, ErrorCode>> = {
  DiskBusy: 'Conflict',
  LockTimeout: 'Conflict',
  DiskMissing: 'DataMissing',
  TooSmall: 'InvalidRequest',
  CannotShrink: 'StorageCannotShrink',
}

export function disksOf(engine: EngineClient, installation: string): Disks {
  const container = `${installation}-disks`
  const run = async <T>(argv: readonly string[], schema: z.ZodType<T>, signal: AbortSignal): Promise<T> => {
    const helper = await engine.findContainer(container, signal)
    if (helper?.state !== 'running') throw helperMissing(engine, container)
    const { stdout, stderr, exitCode } = await engine.exec(helper.id, ['disk', ...argv], {}, signal)
    const reply = parseJson(stdout)
    if (exitCode === 0) return schema.parse(reply)
    const failure = failureSchema.safeParse(reply)
    const code = failure.success ? codes[failure.data.error] ?? 'Internal' : 'Internal'
    const why = failure.success ? failure.data.message : stderr.trim().slice(-400)
    throw new HoldfastError(code, `The disks helper could not ${argv.join(' ')}: ${why}`, { facts: { exitCode, container } })
  }
  return {
    create: (name, bytes, signal) => run(['create', name, String(bytes)], diskSchema, signal),
    grow: (name, bytes, signal) => run(['grow', name, String(bytes)], diskSchema, signal),
    remove: async (name, signal) => {
      await run(['remove', name], removedSchema, signal)
    },
  }
}

function helperMissing(engine: EngineClient, container: string): HoldfastError {
  return new HoldfastError('EngineUnreachable', `The disks helper ${container} does not run on the engine ${engine.engine}`, {
    next: 'Start the service again: it starts the helper of every host',
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
