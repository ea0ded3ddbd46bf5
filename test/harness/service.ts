/**
 * The service that an end-to-end test works with: the one that the run shares, else one of its own, started for this file and
 * taken down after it. What its API answers is recorded, and so are the secrets it hands out: a test looks for them at the end.
 */
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { z } from 'zod'
import { ensureEngine } from '../../src/bootstrap/engine.ts'
import { startTestService } from '../../src/bootstrap/testService.ts'
import { createClient, type HoldfastClient } from '../../src/client/client.ts'
import { connectEngine, type EngineClient } from '../../src/clients/docker.ts'
import { parseConfig, type Config } from '../../src/config.ts'
import { root } from './command.ts'
import type { Endings } from './endings.ts'

export interface TestService {
  readonly config: Config
  readonly settings: Readonly<Record<string, string>>
  /** Records of what was said, answered and made: see `recorder.ts`. */
  readonly records: string
  readonly api: HoldfastClient
  readonly ca: string
  readonly docker: Docker
  readonly engine: EngineClient
  /** Another client of the same API. */
  connect(token: string | null): HoldfastClient
  /** Remembers a secret that this run must not show anywhere. */
  noteSecret(what: string, value: string): Promise<void>
}

const setUpTimeoutMs = 15 * 60_000
const descriptionSchema = z.object({ installation: z.string(), stateDir: z.string(), folder: z.string(), settings: z.record(z.string(), z.string()) })

/** In a file's `before`: starting one takes half a minute where the run has none. */
export async function openService(t: Endings): Promise<TestService> {
  const shared = process.env['HFT_SERVICE']
  const service = shared === undefined ? await startOwn(t) : await attach(shared)
  t.after(() => service.api.close())
  return service
}

async function startOwn(t: Endings): Promise<TestService> {
  const started = await startTestService(root)
  if (started === null) throw new Error('the service did not start; standard error says why')
  t.after(async () => {
    if (!(await started.stop())) throw new Error('the service did not go down in order')
  })
  return attach(started.description)
}

async function attach(description: string): Promise<TestService> {
  const { folder, settings, stateDir } = descriptionSchema.parse(JSON.parse(description))
  const config = parseConfig({}, settings)
  const records = join(folder, 'records')
  const [ca, token] = await Promise.all([readFile(join(stateDir, 'ca.pem'), 'utf8'), readFile(join(stateDir, 'admin-token'), 'utf8')])
  const { docker, connection } = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(setUpTimeoutMs) })
  const connect = (given: string | null): HoldfastClient =>
    recorded(createClient({ baseUrl: `https://127.0.0.1:${config.api.port}`, token: given, ca }), join(records, 'answers.jsonl'))
  return {
    config, settings, records, ca, docker, engine: connectEngine(connection), api: connect(token.trim()), connect,
    noteSecret: (what, value) => appendFile(join(records, 'secrets.jsonl'), `${JSON.stringify({ what, value })}\n`, { mode: 0o600 }),
  }
}

/** What each request was answered, one line each. */
function recorded(client: HoldfastClient, file: string): HoldfastClient {
  client.use({
    async onResponse({ request, response }) {
      const body = await response.clone().text()
      const { pathname } = new URL(request.url)
      await appendFile(file, `${JSON.stringify({ method: request.method, path: pathname, status: response.status, body })}\n`, { mode: 0o600 })
      return undefined
    },
  })
  return client
}
