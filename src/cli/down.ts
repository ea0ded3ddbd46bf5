/** `holdfast down`: stops the service and removes what it made on its engines: containers, networks, volumes, nothing else. */
import { rm } from 'node:fs/promises'
import { initialisedFile } from '../bootstrap/controlConnection.ts'
import { findEngines } from '../bootstrap/prepare.ts'
import { formationFile } from '../bootstrap/prepareEtcd.ts'
import { stopController } from '../bootstrap/service.ts'
import { takeDown } from '../bootstrap/takeDown.ts'
import { loadConfig, type Config } from '../config.ts'
import { exitCodeFor } from './up.ts'
import { runSteps, tell, type Step } from './steps.ts'

const timeoutMs = 5 * 60_000

interface DownContext {
  readonly config: Config
  readonly keepData: boolean
}

const steps: readonly Step<DownContext>[] = [
  { id: 'controller', title: 'Stop the controller', run: async ({ config }) => ((await stopController(config)) ? 'stopped' : 'it was not running') },
  { id: 'engine', title: 'Remove what it made', run: removeAll },
]

async function removeAll({ config, keepData }: DownContext, say: (line: string) => void): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs)
  const engines = await findEngines(config, signal)
  const removed = await Promise.all(engines.map((engine) => takeDown({ engine, installation: config.installation, keepData, say, signal })))
  // without their volumes the embedded control database and etcd begin anew, and have to be allowed to
  if (!keepData) await Promise.all([initialisedFile(config), formationFile(config)].map((file) => rm(file, { force: true })))
  const total = (what: 'containers' | 'networks' | 'volumes'): number => removed.reduce((sum, one) => sum + one[what], 0)
  return `${total('containers')} containers, ${total('networks')} networks, ${total('volumes')} volumes`
}

export async function run({ json, keepData }: { readonly json: boolean; readonly keepData: boolean }): Promise<number> {
  const config = loadConfig()
  const { results, error } = await runSteps(steps, { config, keepData })
  if (json) process.stdout.write(`${JSON.stringify({ schema: 'holdfast.down/1', ok: error === undefined, steps: results })}\n`)
  else if (error !== undefined) process.stdout.write(`${tell(error)}\n`)
  return exitCodeFor(error)
}
