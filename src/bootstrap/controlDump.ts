/**
 * Dumps the control database with `pg_dump` of our own image: in the container of the embedded one, else in a container
 * that lives for this dump and gets the password through the environment of one exec, which nothing keeps.
 */
import { gunzipSync } from 'node:zlib'
import type { EngineClient } from '../clients/docker.ts'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import { label } from '../domain/names.ts'
import type { ControlConnection } from './controlConnection.ts'
import { embeddedPlaces } from './embedded.ts'

export interface DumpGround {
  readonly config: Config
  readonly hosts: readonly { readonly engine: EngineClient; readonly host: { readonly id: string } }[]
  readonly images: { readonly postgres: string }
  readonly controlDatabase: ControlConnection
}

const maxDumpBytes = 256 * 1024 * 1024
const dumpTimeoutMs = 240_000
/** pg_dump's own last line: without it the dump was cut off. */
const lastLine = 'PostgreSQL database dump complete'

export async function controlDump(ground: DumpGround, signal: AbortSignal): Promise<string> {
  const [first] = ground.hosts
  if (first === undefined) throw new HoldfastError('EngineUnreachable', 'There is no host to dump the control database from')
  const { tls } = ground.controlDatabase
  return tls === null ? dumpFromOutside(ground, first, signal) : dumpIn(first.engine, embeddedPlaces(ground.config).controlDatabase.container, 'dbname=holdfast', signal)
}

async function dumpIn(engine: EngineClient, container: string, target: string, signal: AbortSignal): Promise<string> {
  const command = 'set -o pipefail; pg_dump --no-owner --no-privileges -d "$0" | gzip -c | base64 -w0'
  const options = { timeoutMs: dumpTimeoutMs, maxOutputBytes: maxDumpBytes }
  const { exitCode, stdout, stderr } = await engine.exec(container, ['bash', '-c', command, target], options, signal)
  if (exitCode !== 0) throw new HoldfastError('JobFailed', 'The control database could not be dumped', { facts: { exitCode, stderr: stderr.slice(0, 500) } })
  const dump = gunzipSync(Buffer.from(stdout, 'base64')).toString('utf8')
  if (dump.includes(lastLine)) return dump
  throw new HoldfastError('JobFailed', 'The dump of the control database is incomplete', { next: 'Look at the log of its server' })
}

async function dumpFromOutside(ground: DumpGround, { engine, host }: DumpGround['hosts'][number], signal: AbortSignal): Promise<string> {
  const { config, images, controlDatabase } = ground
  const name = `${config.installation}-controldump`
  await engine.removeContainer(name, { force: true }, signal)
  const { id } = await engine.createContainer({
    name, hostId: host.id, image: images.postgres, command: ['idle'], labels: { [label.installation]: config.installation, [label.kind]: 'job' },
    mounts: [], network: { name: 'bridge', aliases: [] }, ports: [], extraHosts: [], restart: 'no', files: [], specHash: '', configHash: '',
    limits: { memoryBytes: 256 * 1024 * 1024, cpus: 1, pids: 32, shmBytes: 16 * 1024 * 1024 },
  }, signal)
  try {
    await engine.startContainer(id, signal)
    return await dumpIn(engine, id, controlDatabase.url.reveal(), signal)
  } finally {
    await engine.removeContainer(id, { force: true }, AbortSignal.timeout(dumpTimeoutMs))
  }
}
