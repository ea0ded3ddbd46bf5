/** What a suite of faults works with: a whole service of its own, whose controller is this test's to kill. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { z } from 'zod'
import { embeddedPlaces } from '../../src/bootstrap/embedded.ts'
import { stopController } from '../../src/bootstrap/service.ts'
import { ApiProblem, answerOf } from '../../src/client/problem.ts'
import { connectObjectStore, type ObjectStore } from '../../src/clients/s3.ts'
import { Secret } from '../../src/domain/secret.ts'
import { attachStore } from '../../src/main/openStore.ts'
import type { Store } from '../../src/store/store.ts'
import type { Endings } from '../harness/endings.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { createController, type Controller } from './controller.ts'

export interface Rig {
  readonly service: TestService
  readonly controller: Controller
  readonly objects: ObjectStore
  readonly bucket: string
  /** Kills the controller, if it runs, and starts it again; resolves when it is ready. */
  restart(): Promise<void>
  /** Another controller on the same control database and engine, with its own API. */
  another(name: string): Controller
  readonly anotherApiPort: number
  /** Rows of the control database, through a connection of its own. */
  control<T>(work: (pool: pg.Pool) => Promise<T>): Promise<T>
  readonly projectId: string
  newProject(): Promise<string>
}

/** A dead controller's leases run out soon, so that a kill costs a test seconds and not a minute. */
const quick = { HOLDFAST_CONTROLLER_LEASE_SECONDS: '6', HOLDFAST_CONTROLLER_PASS_TIMEOUT_MS: '5500', HOLDFAST_CONTROLLER_EFFECT_TIMEOUT_MS: '5000', HOLDFAST_CONTROLLER_RESYNC_SECONDS: '10' }
/** On leap days: a story that is compared with another must not have one more backup because of the hour that it was told at. */
const unscheduled = { HOLDFAST_BACKUPS_FULL_SCHEDULE: '0 0 29 2 *', HOLDFAST_BACKUPS_INCREMENTAL_SCHEDULE: '0 0 29 2 *' }
const readyTimeoutMs = 90_000
const attachTimeoutMs = 60_000
const keysSchema = z.object({ accessKeyId: z.string(), secretAccessKey: z.string() })

export interface RigOptions {
  /** More settings of the service's controllers. */
  readonly settings?: Readonly<Record<string, string>>
  /** Of the main controller's process. */
  readonly gid?: number
}

export async function openRig(ending: Endings, options: RigOptions = {}): Promise<Rig> {
  const service = await openService(ending)
  const { config } = service
  await stopController(config)
  const settings = { ...service.settings, ...quick, ...unscheduled, ...options.settings }
  const make = (name: string, isMain: boolean, extra: Readonly<Record<string, string>> = {}): Controller => {
    const made = createController({ settings: { ...settings, ...extra }, stateDir: config.stateDir, name, isMain, ...(isMain && options.gid !== undefined && { gid: options.gid }) })
    ending.after(async () => {
      // the main one is left to `down`, which ends it in order
      if (!isMain && made.isRunning()) await made.kill()
      await made.log.close()
    })
    return made
  }
  const controller = make('controller', true)
  const restart = async (): Promise<void> => {
    if (controller.isRunning()) await controller.kill()
    await controller.start()
    await ready(service, controller)
  }
  await restart()
  const [host] = await withControl(service, (_pool, store) => store.hosts.active())
  if (host === undefined) throw new Error('the service knows no host')
  const { objects, bucket } = await openObjects(service, host.privateAddress)
  ending.after(async () => objects.close())
  const newProject = (): Promise<string> => makeProject(service)
  return {
    service, controller, objects, bucket, restart, newProject,
    another: (name) => make(name, false, { HOLDFAST_API_PORT: String(config.endpoint.portRange.last) }),
    anotherApiPort: config.endpoint.portRange.last,
    control: (work) => withControl(service, work),
    projectId: await newProject(),
  }
}

/** A controller that could not start, because what it stands on was too slow, is started again, as a supervisor would do it. */
export async function ready({ api }: TestService, controller: Controller): Promise<void> {
  await until('the controller to be ready', async () => {
    if (!controller.isRunning()) await controller.start()
    try {
      const { response, data } = await api.GET('/readyz')
      return response.status === 200 ? true : new NotYet(`${response.status} ${JSON.stringify(data ?? null)}`)
    } catch (error) {
      return new NotYet(String(error))
    }
  }, { limitMs: readyTimeoutMs })
}

/** Looks again and again, also while the service is away. */
export async function eventually<T>(what: string, look: () => Promise<T | NotYet>, limitMs: number): Promise<T> {
  return until(what, async () => {
    try {
      return await look()
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 0 || error.status === 503)) return new NotYet(error.message)
      throw error
    }
  }, { limitMs, everyMs: 200 })
}

let projects = 0

/** A team and a project: its network comes and goes with its databases. */
async function makeProject({ api }: TestService): Promise<string> {
  projects += 1
  const team = await answerOf(api.POST('/v1/teams', { body: { name: `faults-${projects}` } }))
  return (await answerOf(api.POST('/v1/teams/{id}/projects', { params: { path: { id: team.id } }, body: { name: 'main' } }))).id
}

async function openObjects({ config, ca }: TestService, address: string): Promise<{ readonly objects: ObjectStore; readonly bucket: string }> {
  const { port, serverName, bucket } = embeddedPlaces(config).objectStore
  const { accessKeyId, secretAccessKey } = keysSchema.parse(JSON.parse(await readFile(join(config.stateDir, 'objectstore.json'), 'utf8')))
  const connection = { endpoint: `https://${serverName}:${port}`, address, region: 'us-east-1', forcePathStyle: true, accessKeyId, secretAccessKey: new Secret(secretAccessKey), caPem: ca }
  return { objects: connectObjectStore(connection), bucket }
}

async function withControl<T>({ config }: TestService, work: (pool: pg.Pool, store: Store) => Promise<T>): Promise<T> {
  const { pool, store } = await attachStore(config, AbortSignal.timeout(attachTimeoutMs))
  try {
    return await work(pool, store)
  } finally {
    await pool.end()
  }
}
