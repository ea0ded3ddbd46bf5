/**
 * The Docker engine is restarted under a running service. The tests (engineRestarts.ts) run in mount, network and process
 * namespaces of their own, with an engine of their own that they may end: the engine of this machine is only asked for its
 * images. The kernel ends everything in the namespaces with them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ensureEngine, type Engine } from '../../src/bootstrap/engine.ts'
import { baseImage } from '../../src/bootstrap/imageInputs.ts'
import { ensureImages } from '../../src/bootstrap/images.ts'
import type { EngineConnection } from '../../src/clients/docker.ts'
import { root } from '../harness/command.ts'
import { testRun } from '../harness/testRun.ts'
import { giveBackDisks, removeGroups } from './thrownAway.ts'

const setUpMs = 10 * 60_000
/**
 * No engine but the namespaces’ own is found in them. The shell stays as their init: it buries what a killed engine leaves, whose
 * process ids would otherwise count as alive.
 */
const prelude = `
  set -e
  mount --make-rprivate /
  mount -t tmpfs tmpfs /run; mkdir -p /run/lock
  ip link set lo up
  "$0" "$@" || exit $?
`

async function main(): Promise<number> {
  const engine = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(setUpMs) })
  const unfit = await whyNot()
  if (unfit !== null) {
    const { test } = await import('node:test')
    test('the engine is restarted under a running service', { skip: unfit }, () => undefined)
    return 0
  }
  // on a real disk: the engine's storage driver does not work on every kind of /tmp
  const folder = await mkdtemp('/var/lib/hf-engine-')
  try {
    const code = await runInNamespaces(engine, folder)
    const left = await giveBackDisks(join(folder, 'data'))
    if (left.length > 0) process.stderr.write(`left behind: ${left.join(', ')}\n`)
    return left.length > 0 ? 1 : code
  } finally {
    await removeGroups(basename(folder))
    await rm(folder, { recursive: true, force: true })
  }
}

async function whyNot(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'only root makes these namespaces'
  return access('/usr/sbin/dockerd').then(() => null, () => 'the engine of this machine is not the distribution’s')
}

/** Its report goes where ours would go; the images come to it through its standard input. */
async function runInNamespaces({ docker, connection }: Engine, folder: string): Promise<number> {
  const images = await ensureImages({ docker, names: ['postgres', 'haproxy', 'objectstore', 'disks'], report: () => undefined, signal: AbortSignal.timeout(setUpMs) })
  const program = [process.execPath, join(import.meta.dirname, 'engineRestarts.ts')]
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
  // the process ids of the run are those of this namespace
  const env = { ...process.env, HFT_RUN: testRun, HFT_ENGINE_FOLDER: folder }
  const child = spawn('unshare', [...namespaces, 'bash', '-c', prelude, ...program], { cwd: root, env, stdio: ['pipe', 'inherit', 'inherit'] })
  // it passes nothing on, and takes all with it
  const end = (): void => void child.kill('SIGKILL')
  process.once('SIGTERM', end).once('SIGINT', end)
  const ended = once(child, 'close').then(([code]: unknown[]) => code)
  // one that ended early says itself why
  await pipeline(await archiveOf(connection, [baseImage, ...Object.values(images)]), child.stdin).catch(() => undefined)
  const code = await ended
  return typeof code === 'number' ? code : 1
}

/** As `docker save` writes it: what several images share is in it once. */
async function archiveOf({ engine }: EngineConnection, names: readonly string[]): Promise<IncomingMessage> {
  const query = new URLSearchParams(names.map((name): [string, string] => ['names', name]))
  const request = get({ socketPath: engine.replace('unix://', ''), path: `/images/get?${query.toString()}` })
  const response = await new Promise<IncomingMessage>((resolve, reject) => void request.once('response', resolve).once('error', reject))
  if (response.statusCode !== 200) throw new Error(`the images could not be read: status ${response.statusCode}`)
  return response
}

process.exitCode = await main()
