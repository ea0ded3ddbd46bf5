/**
 * An installation of a benchmark's own: service, control database and object store under a name that nobody else has,
 * made by the product's own commands and removed by them. What an earlier run left is removed first.
 */
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { stopController } from '../../src/bootstrap/service.ts'
import { createClient, type HoldfastClient } from '../../src/client/client.ts'
import { answerOf } from '../../src/client/problem.ts'
import { loadConfig, type Config } from '../../src/config.ts'
import type { Say } from './runner.ts'

export interface Installation {
  readonly config: Config
  readonly client: HoldfastClient
  readonly ca: string
  readonly projectId: string
}

export interface Places {
  readonly name: string
  readonly apiPort: number
  readonly endpointPorts: string
  readonly internalPorts: string
  readonly networks: string
  /** The engine, when it is not the one that answers by default. */
  readonly dockerHost?: string
  /** More settings, `HOLDFAST_…`. */
  readonly settings?: Readonly<Record<string, string>>
}

const execute = promisify(execFile)
const program = join(import.meta.dirname, '../../src/cli/main.ts')
/** A machine without the images builds them first. */
const upTimeoutMs = 30 * 60_000
const maxOutputBytes = 16 * 1024 * 1024

export async function openInstallation(places: Places, say: Say): Promise<Installation> {
  const environment = environmentOf(places)
  say(`starting the installation ${places.name}`)
  await holdfast(['down', '--json'], environment)
  await holdfast(['up', '--json'], environment)
  const config = loadConfig(environment)
  const [ca, token] = await Promise.all([readFile(join(config.stateDir, 'ca.pem'), 'utf8'), readFile(join(config.stateDir, 'admin-token'), 'utf8')])
  const client = createClient({ baseUrl: `https://${config.api.listenAddress}:${config.api.port}`, token: token.trim(), ca })
  const team = await answerOf(client.POST('/v1/teams', { body: { name: 'bench' } }))
  const project = await answerOf(client.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name: 'bench' } }))
  return { config, client, ca, projectId: project.id }
}

/** The same installation under a controller with other settings. */
export async function restartController({ config }: Installation, places: Places): Promise<void> {
  await stopController(config)
  await holdfast(['up', '--json'], environmentOf(places))
}

export async function closeInstallation({ config, client }: Installation, places: Places): Promise<void> {
  await client.close()
  await holdfast(['down', '--json'], environmentOf(places))
  await rm(config.stateDir, { recursive: true, force: true })
}

/** Settings of the surroundings would make it another installation; only where the engine is found is left as it is. */
function environmentOf({ name, apiPort, endpointPorts, internalPorts, networks, dockerHost, settings }: Places): NodeJS.ProcessEnv {
  const foreign = Object.entries(process.env).filter(([variable]) => !variable.startsWith('HOLDFAST_'))
  return {
    ...Object.fromEntries(foreign), HOLDFAST_INSTALLATION: name, HOLDFAST_API_PORT: String(apiPort), HOLDFAST_ENDPOINT_PORT_RANGE: endpointPorts,
    HOLDFAST_INTERNAL_PORT_RANGE: internalPorts, HOLDFAST_NETWORK_POOL_CIDR: networks,
    ...(dockerHost !== undefined && { DOCKER_HOST: dockerHost }), ...settings,
  }
}

async function holdfast(argv: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
  await execute(process.execPath, [program, ...argv], { env: environment, timeout: upTimeoutMs, maxBuffer: maxOutputBytes })
}

/** The sum of a counter's series in the text that `/metrics` gives, those of the labels only. */
export async function metric({ client }: Installation, name: string): Promise<number> {
  const { data } = await client.GET('/metrics', { parseAs: 'text' })
  const text = z.string().parse(data)
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
