/** What tests need of a machine: an engine, images, and nothing left of runs that have died. */
import { ensureEngine, type Engine } from './engine.ts'
import { ensureImages } from './images.ts'
import { leftovers, sweep } from './testRuns.ts'

/** A bare machine installs an engine and builds images. */
const setUpTimeoutMs = 30 * 60_000
const sweepTimeoutMs = 5 * 60_000
/** Of test/harness/controlServer.ts: shared by the files of a run, it belongs to no one of them. */
const sharedServer = 'hfcontrol-'

export async function setUp(say: (line: string) => void): Promise<Engine> {
  const signal = AbortSignal.timeout(setUpTimeoutMs)
  const report = ({ detail }: { readonly detail: string }): void => say(detail)
  const engine = await ensureEngine({ report, signal })
  await ensureImages({ docker: engine.docker, names: ['postgres', 'haproxy', 'objectstore', 'etcd', 'disks'], report, signal })
  const left = await leftovers(engine, null)
  if (left.length > 0) say(`sweeping ${left.length} things that earlier runs left`)
  await sweep(engine, left, AbortSignal.timeout(sweepTimeoutMs))
  return engine
}

/** Names of what this run left behind, which is removed all the same. */
export async function cleanUp(engine: Engine, run: string): Promise<readonly string[]> {
  const left = await leftovers(engine, run)
  await sweep(engine, left, AbortSignal.timeout(sweepTimeoutMs))
  return left.filter(({ installation }) => installation?.startsWith(sharedServer) !== true).map(({ kind, name, run: of }) => `${kind} ${name} (${of})`)
}
