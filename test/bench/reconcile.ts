/** How soon a dead container is noticed, and what a look at a database costs that needs nothing. */
import { ensureFirstAuthority } from '../../src/bootstrap/authorityFile.ts'
import { connectControlDatabase } from '../../src/bootstrap/controlConnection.ts'
import { ensureMasterKeys } from '../../src/bootstrap/masterKey.ts'
import { createPool } from '../../src/store/pool.ts'
import { createStore, type Store } from '../../src/store/store.ts'
import { docker } from './byHand.ts'
import { createStarter, firstAnswer, settle, until, type Customer } from './database.ts'
import { openEngineDoor, type Call, type EngineDoor } from './engineDoor.ts'
import { closeInstallation, metric, openInstallation, type Installation, type Places } from './installation.ts'
import { runBench, type Bench, type Experiment, type RunOptions } from './runner.ts'

const enginePath = process.env['DOCKER_HOST']?.replace(/^unix:\/\//, '') ?? '/var/run/docker.sock'
const passes = 300
const noticeLimitMs = 30_000

interface Rig {
  readonly places: Places
  readonly installation: Installation
  readonly door: EngineDoor
  readonly store: Store
  readonly customer: Customer
  readonly closeStore: () => Promise<void>
}

const deadContainer: Experiment<Rig> = {
  series: [
    { case: 'deadContainerNoticed', variant: 'holdfast', unit: 'ms', goal: { median: 1_000, max: null } },
    { case: 'deadContainerServing', variant: 'holdfast', unit: 'ms', goal: { median: null, max: null } },
  ],
  async sample(rig) {
    await settle(rig.installation, rig.customer)
    const container = await docker(['ps', '--no-trunc', '--quiet', '--filter', `label=io.holdfast.database=${rig.customer.id}`, '--filter', 'label=io.holdfast.kind=member'])
    const started = rig.door.next('POST', new RegExp(`^/containers/${container}/start`), noticeLimitMs)
    const killed = performance.now()
    // by the engine: a process that merely dies is restarted by the engine itself, before anybody could notice
    await docker(['kill', '--signal', 'KILL', container])
    const { at } = await started
    await firstAnswer(rig.customer.connection)
    return { numbers: [at - killed, performance.now() - killed] }
  },
}

const settledPass: Experiment<Rig> = {
  series: [
    { case: 'settledPassCpu', variant: 'holdfast', unit: 'ms', goal: { median: 3, max: null } },
    { case: 'settledPassEngineCalls', variant: 'holdfast', unit: 'calls', goal: { median: 0, max: null } },
  ],
  async sample(rig) {
    await settle(rig.installation, rig.customer)
    rig.door.take()
    const before = await costs(rig)
    for (let pass = 0; pass < passes; pass += 1) await forcePass(rig)
    const calls = rig.door.take().filter((call) => !isInventory(call, rig.places.name))
    const after = await costs(rig)
    return { numbers: [(after.cpuMs - before.cpuMs) / (after.passes - before.passes), calls.length / (after.passes - before.passes)] }
  },
}

/** Of the whole process: loop, connections and timers are part of what a pass costs. */
async function costs({ installation }: Rig): Promise<{ readonly cpuMs: number; readonly passes: number }> {
  const done = await metric(installation, 'holdfast_reconcile_passes_total')
  const cpuSeconds = await metric(installation, 'process_cpu_user_seconds_total') + await metric(installation, 'process_cpu_system_seconds_total')
  return { cpuMs: cpuSeconds * 1_000, passes: done }
}

/** A wake in the queue, as the API and the engines' events write it, and the settled pass that answers it. */
async function forcePass({ store, customer: { id } }: Rig): Promise<void> {
  const seq = await store.queue.wake(id)
  await until('a settled pass', async () => (await store.queue.settledState(id)).settledSeq >= (seq ?? 0), 2)
}

/** What the host's one list, event stream and heartbeat ask, however many databases there are. */
function isInventory({ method, path }: Call, installation: string): boolean {
  return method === 'GET' && (/^\/(events|containers\/json|volumes|networks)(\?|$)/.test(path) || path === `/volumes/${installation}-host`)
}

const bench: Bench<Rig> = {
  name: 'reconcile',
  experiments: [settledPass, deadContainer],
  async open(say) {
    const door = await openEngineDoor(enginePath, 'hfreconcile')
    const places: Places = {
      name: 'hfreconcile', apiPort: 17_510, endpointPorts: '17520-17549', internalPorts: '17550-17579', networks: '10.218.0.0/16', dockerHost: door.address,
    }
    const installation = await openInstallation(places, say)
    const { store, closeStore } = await openStore(installation)
    const customer = await createStarter(installation, 'settled')
    await firstAnswer(customer.connection)
    const rig = { places, installation, door, store, customer, closeStore }
    await settle(installation, customer)
    // code that runs often is compiled after a while: a controller has run for days
    for (let pass = 0; pass < passes; pass += 1) await forcePass(rig)
    return rig
  },
  async close({ installation, places, door, closeStore }) {
    await closeStore()
    await closeInstallation(installation, places)
    await door.close()
  },
  engineOf: () => docker(['version', '--format', 'Docker {{.Server.Version}}']),
}

async function openStore({ config }: Installation): Promise<Pick<Rig, 'store' | 'closeStore'>> {
  const keyring = await ensureMasterKeys(config, { announce: () => undefined })
  const first = await ensureFirstAuthority(config, keyring, new Date())
  const { url, tls } = await connectControlDatabase(config, first, AbortSignal.timeout(noticeLimitMs))
  const pool = createPool({ url, applicationName: 'holdfast bench', maxConnections: 2, ...(tls !== null && { tls }) })
  return { store: createStore({ pool, keyring }), closeStore: () => pool.end() }
}

export function run(options: RunOptions): Promise<number> {
  return runBench(bench, options)
}
