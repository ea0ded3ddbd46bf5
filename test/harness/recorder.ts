/**
 * Keeps what containers of an installation said and how they were made, also of those that live for seconds: what a run's
 * secrets are searched in at its end. Follows the engine's events.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import type Docker from 'dockerode'
import { z } from 'zod'
import { connectEngine, type EngineConnection } from '../../src/clients/docker.ts'
import { label } from '../../src/domain/names.ts'

export interface Recorder {
  /** Ends the files. */
  stop(): Promise<void>
}

export interface RecorderOptions {
  readonly docker: Docker
  readonly connection: EngineConnection
  readonly installation: string
  /** `inspect.jsonl` and `NAME-ID.log` are written there. */
  readonly folder: string
}

const streamSchema = z.custom<NodeJS.ReadableStream>((value) => typeof value === 'object' && value !== null && 'pipe' in value)

export async function startRecorder({ docker, connection, installation, folder }: RecorderOptions): Promise<Recorder> {
  const stopping = new AbortController()
  const inspections = createWriteStream(join(folder, 'inspect.jsonl'), { flags: 'a', mode: 0o600 })
  const logs: WriteStream[] = []
  const seen = new Set<string>()
  const record = async (id: string): Promise<void> => {
    // one that is gone already said nothing that could still be read
    const container = docker.getContainer(id)
    const details = await container.inspect().catch(() => null)
    if (details === null) return
    inspections.write(`${JSON.stringify(details)}\n`)
    if (seen.has(id)) return
    seen.add(id)
    const log = createWriteStream(join(folder, `${details.Name.slice(1)}-${id.slice(0, 12)}.log`), { mode: 0o600 })
    logs.push(log)
    const said = await container.logs({ follow: true, stdout: true, stderr: true, abortSignal: stopping.signal }).catch(() => null)
    if (said === null) return
    const stream = streamSchema.parse(said)
    stream.on('error', () => undefined)
    stream.pipe(log)
  }
  const opened = Promise.withResolvers<void>()
  const engine = connectEngine(connection)
  const following = engine.events({ labels: { [label.installation]: installation }, types: ['container'], onOpen: opened.resolve }, ({ action, id }) => {
    if (action === 'start') void record(id)
  }, stopping.signal).catch(() => undefined)
  await Promise.race([opened.promise, following])
  for (const { id } of await engine.listContainers({ [label.installation]: installation }, stopping.signal)) void record(id)
  return {
    async stop() {
      stopping.abort()
      await following
      for (const stream of [inspections, ...logs]) stream.end()
      await Promise.all([inspections, ...logs].map((stream) => finished(stream).catch(() => undefined)))
    },
  }
}
