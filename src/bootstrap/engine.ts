/**
 * The Docker engine that everything runs on: the one that answers, else (root on Debian or Ubuntu) the distribution's own,
 * installed and started. It never replaces, restarts or reconfigures an engine that is there.
 */
import type Docker from 'dockerode'
import { isIPv4 } from 'node:net'
import { z } from 'zod'
import { connectEngine, type EngineConnection } from '../clients/docker.ts'
import { HoldfastError } from '../domain/errors.ts'
import { candidates, localEngine, openDocker } from './dockerConnection.ts'
import { installAndStart } from './dockerDaemon.ts'
import { lookAtMachine } from './machine.ts'
import { withProcessLock } from './processLock.ts'
import type { Report } from './progress.ts'

export interface Engine {
  readonly connection: EngineConnection
  readonly docker: Docker
  /** Whether this call started it. */
  readonly started: boolean
}

export interface EngineInfo {
  readonly version: string
  readonly apiVersion: string
  readonly cores: number
  readonly memoryBytes: number
  readonly storageDriver: string
  /** The gateway of the default bridge network: reached by containers and by the host itself, by nobody else. */
  readonly privateAddress: string
}

export interface EnsureEngineOptions {
  readonly report: Report
  readonly signal: AbortSignal
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** An engine that is there answers in milliseconds. */
const pingTimeoutMs = 3_000
const lockFile = '/var/lock/holdfast-engine.lock'

/** Errors: `EngineMissing`, with what to install. */
export async function ensureEngine({ report, signal, env = process.env }: EnsureEngineOptions): Promise<Engine> {
  const tried = await candidates(env)
  const answering = await firstAnswering(tried, signal)
  if (answering !== null) return engineAt(answering, false)
  if (env['DOCKER_HOST']) {
    throw new HoldfastError('EngineMissing', `No Docker engine answers at DOCKER_HOST (${env['DOCKER_HOST']})`, {
      next: 'Start that engine, or unset DOCKER_HOST to use the one of this machine',
    })
  }
  const machine = await lookAtMachine()
  if (!machine.canInstall) {
    throw new HoldfastError('EngineMissing', 'No Docker engine answers on this machine, and only root on Debian or Ubuntu can have one installed from here', {
      next: 'Install Docker Engine 20.10 or newer (on Debian: apt-get install docker.io iptables) and start it',
      facts: { tried: tried.map(({ engine }) => engine) },
    })
  }
  return withProcessLock(lockFile, signal, async () => {
    // Somebody else may have started it while this process waited for the lock.
    if (await answers(localEngine, signal)) return engineAt(localEngine, false)
    await installAndStart({ report, signal, machine, answers: () => answers(localEngine, signal) })
    return engineAt(localEngine, true)
  })
}

/** The local engine that answers now; null: there is none. */
export async function answeringEngine(env: Readonly<Record<string, string | undefined>>, signal: AbortSignal): Promise<EngineConnection | null> {
  return firstAnswering(await candidates(env), signal)
}

function engineAt(connection: EngineConnection, started: boolean): Engine {
  return { connection, docker: openDocker(connection), started }
}

async function firstAnswering(connections: readonly EngineConnection[], signal: AbortSignal): Promise<EngineConnection | null> {
  for (const connection of connections) if (await answers(connection, signal)) return connection
  return null
}

async function answers(connection: EngineConnection, signal: AbortSignal): Promise<boolean> {
  try {
    await connectEngine(connection).version(AbortSignal.any([signal, AbortSignal.timeout(pingTimeoutMs)]))
    return true
  } catch (error) {
    signal.throwIfAborted()
    // A mistake in the address will not mend itself by installing an engine.
    if (error instanceof HoldfastError && error.code === 'ConfigInvalid') throw error
    return false
  }
}

const infoSchema = z.object({ NCPU: z.int(), MemTotal: z.int(), Driver: z.string(), ServerVersion: z.string() })
const bridgeSchema = z.object({
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string(), Gateway: z.string().optional() })) }),
})

export async function engineInfo({ docker, connection }: Pick<Engine, 'docker' | 'connection'>, signal: AbortSignal): Promise<EngineInfo> {
  const [info, version, bridge] = await Promise.all([
    docker.info().then((reply: unknown) => infoSchema.parse(reply)),
    connectEngine(connection).version(signal),
    docker.getNetwork('bridge').inspect().then((reply: unknown) => bridgeSchema.parse(reply)),
  ])
  return {
    version: info.ServerVersion,
    apiVersion: version.apiVersion,
    cores: info.NCPU,
    memoryBytes: info.MemTotal,
    storageDriver: info.Driver,
    privateAddress: gatewayOf(bridge.IPAM.Config),
  }
}

/** An engine that has just started for the first time does not name the gateway yet: it is the first address of the subnet. */
export function gatewayOf(config: readonly { readonly Subnet: string; readonly Gateway?: string | undefined }[]): string {
  const ipv4 = config.find(({ Subnet }) => isIPv4(Subnet.split('/')[0] ?? ''))
  if (ipv4 === undefined) throw new HoldfastError('EngineMissing', 'The engine has no default bridge network with IPv4', { next: 'Start the engine without --bridge=none' })
  if (ipv4.Gateway !== undefined && ipv4.Gateway !== '') return ipv4.Gateway
  const [a = '', b = '', c = '', d = ''] = ipv4.Subnet.split(/[./]/)
  return [a, b, c, String(Number(d) + 1)].join('.')
}
