/** The engine for tests: one installation id a file, and a sweep by label of whatever it made, before and after. */
import type Docker from 'dockerode'
import { removeDisks } from '../../src/bootstrap/disks.ts'
import { ensureEngine } from '../../src/bootstrap/engine.ts'
import { ensureImages, type ImageName } from '../../src/bootstrap/images.ts'
import { connectEngine, type EngineClient, type EngineConnection } from '../../src/clients/docker.ts'
import { label } from '../../src/domain/names.ts'
import { runLabelOf } from '../harness/testRun.ts'

export interface TestEngine {
  readonly connection: EngineConnection
  readonly docker: Docker
  readonly engine: EngineClient
  readonly installation: string
  readonly runLabel: string
  image(name: ImageName): Promise<string>
  sweep(): Promise<void>
}

const setUpMs = 10 * 60_000
const sweepMs = 120_000

export async function openTestEngine(installation: string): Promise<TestEngine> {
  const { docker, connection } = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(setUpMs) })
  const runLabel = runLabelOf(installation)
  const engine = connectEngine({ ...connection, labels: { [label.run]: runLabel } })
  return {
    connection,
    docker,
    engine,
    installation,
    runLabel,
    image: async (name) => (await ensureImages({ docker, names: [name], report: () => undefined, signal: AbortSignal.timeout(setUpMs) }))[name],
    sweep: () => sweep(engine, installation, AbortSignal.timeout(sweepMs)),
  }
}

async function sweep(engine: EngineClient, installation: string, signal: AbortSignal): Promise<void> {
  const ours = { [label.installation]: installation }
  const containers = await engine.listContainers(ours, signal)
  const helpers = containers.filter(({ name }) => name === `${installation}-disks`)
  for (const { id } of containers.filter((seen) => !helpers.includes(seen))) await engine.removeContainer(id, { force: true }, signal)
  // The helper gives its loop devices back before it goes; the volumes on them have to be gone first.
  for (const { name } of await engine.listVolumes(ours, signal)) {
    if (name !== `${installation}-disks`) await engine.removeVolume(name, signal)
  }
  await removeDisks(engine, installation, signal)
  for (const { id } of helpers) await engine.removeContainer(id, { force: true }, signal)
  for (const { name } of await engine.listVolumes(ours, signal)) await engine.removeVolume(name, signal)
}
