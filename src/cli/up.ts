/** `holdfast up`: prepares everything, starts the service in the background and says where it answers. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { controllerRuns, logFile, startController } from '../bootstrap/service.ts'
import {
  beginPreparation, prepareControlDatabase, prepareEngines, prepareImages, prepareStores, type Preparation, type Say,
} from '../bootstrap/prepare.ts'
import { createClient } from '../client/client.ts'
import { loadConfig, type Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import { runSteps, tell, type Step } from './steps.ts'

/** A bare machine builds five images from Debian's mirror. */
const prepareTimeoutMs = 30 * 60_000
const readyTimeoutMs = 60_000
const readyLookMs = 100

export interface UpContext {
  readonly config: Config
  readonly signal: AbortSignal
  preparation: Preparation | null
}

export function upContext(config: Config): UpContext {
  return { config, signal: AbortSignal.timeout(prepareTimeoutMs), preparation: null }
}

type Prepare = (into: Preparation, say: Say, signal: AbortSignal) => Promise<string>

const prepared = (prepare: Prepare) => async (context: UpContext, say: Say): Promise<string> => {
  context.preparation ??= await beginPreparation(context.config, (line) => process.stderr.write(`${line}\n`))
  return prepare(context.preparation, say, context.signal)
}

export const upSteps: readonly Step<UpContext>[] = [
  { id: 'engine', title: 'Docker engine', run: prepared(prepareEngines) },
  { id: 'images', title: 'Images', run: prepared(prepareImages) },
  { id: 'controlDatabase', title: 'Control database', run: prepared(prepareControlDatabase) },
  { id: 'objectStore', title: 'Object store and etcd', run: prepared(prepareStores) },
  { id: 'controller', title: 'Controller', run: startAndAwait },
]

async function startAndAwait({ config }: UpContext, say: Say): Promise<string> {
  const { started } = await startController(config)
  say('waiting until it is ready')
  const ca = await readFile(caFile(config), 'utf8')
  const client = createClient({ baseUrl: apiUrl(config), token: null, ca })
  try {
    await awaitReady(config, client)
  } finally {
    await client.close()
  }
  return started ? apiUrl(config) : `${apiUrl(config)}, running already`
}

async function awaitReady(config: Config, client: ReturnType<typeof createClient>): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs
  let last = 'it does not answer'
  while (Date.now() < deadline) {
    try {
      const { response, data, error } = await client.GET('/readyz')
      if (response.status === 200) return
      last = JSON.stringify(data ?? error)
    } catch (error) {
      // not listening yet; the deadline bounds how often we ask
      last = tell(error)
    }
    if (!(await controllerRuns(config))) throw new HoldfastError('StartFailed', 'The controller ended while it started', { next: `Read the end of ${logFile(config)}` })
    await sleep(readyLookMs)
  }
  throw new HoldfastError('TimedOut', `The controller was not ready within ${readyTimeoutMs / 1000} s: ${last}`, { next: `Read the end of ${logFile(config)}` })
}

export function apiUrl({ api }: Config): string {
  return `https://${api.listenAddress.includes(':') ? `[${api.listenAddress}]` : api.listenAddress}:${api.port}`
}

export function caFile({ stateDir }: Config): string {
  return join(stateDir, 'ca.pem')
}

export async function adminToken({ stateDir }: Config): Promise<string> {
  return (await readFile(join(stateDir, 'admin-token'), 'utf8')).trim()
}

export async function run({ json }: { readonly json: boolean }): Promise<number> {
  const config = loadConfig()
  const started = performance.now()
  const { results, error } = await runSteps(upSteps, upContext(config))
  const ok = error === undefined
  const answer = { schema: 'holdfast.up/1', ok, durationMs: Math.round(performance.now() - started), steps: results, apiUrl: apiUrl(config), caFile: caFile(config), tokenFile: join(config.stateDir, 'admin-token') }
  if (json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else process.stdout.write(ok ? `Holdfast answers at ${answer.apiUrl}\n  authority: ${answer.caFile}\n  admin token: ${answer.tokenFile}\n` : `${tell(error)}\n`)
  return exitCodeFor(error)
}

/** 3: this machine cannot run it; 1: something failed. */
export function exitCodeFor(error: unknown): number {
  if (error === undefined) return 0
  const unfit = error instanceof HoldfastError && (error.code === 'EngineMissing' || error.code === 'ConfigInvalid')
  return unfit ? 3 : 1
}
