/**
 * The one place that wires everything: settings → ground → store → controller → API. Run as a program it is the
 * controller's process.
 */
import { loadConfig, type Config } from './config.ts'
import { describeError, isHoldfastError } from './domain/errors.ts'
import { commonName } from './domain/names.ts'
import type { Clock } from './domain/ports.ts'
import { authorityFollower, keepRenewed } from './main/authority.ts'
import { openApi } from './main/openApi.ts'
import { openController } from './main/openController.ts'
import { openStore, signingAuthority } from './main/openStore.ts'
import { prepareGround } from './main/ground.ts'
import { createIdentity } from './pki/identity.ts'
import { createIssuer } from './pki/issuer.ts'
import { listenForWakes } from './store/wakes.ts'
import { createLogger, createMetrics, type Logger } from './telemetry.ts'

export interface Service {
  readonly apiUrl: string
  /** Takes no more work, ends what is under way within its limits, closes everything. */
  stop(): Promise<void>
}

const clock: Clock = { now: () => new Date() }
/** The embedded services are told of an authority that changed while we were away. */
const followTimeoutMs = 120_000

export async function startService(config: Config, logger: Logger): Promise<Service> {
  const ground = await prepareGround(config, logger)
  const { pool, store } = await openStore(ground)
  const follow = authorityFollower(ground, store, clock)
  await follow(AbortSignal.timeout(followTimeoutMs))
  const issuer = createIssuer({ signing: () => signingAuthority(store), lifetimeMs: config.certificates.lifetimeMs, clock })
  const identity = await createIdentity(issuer, { commonName: commonName.controller(config.installation), names: [], usage: 'client' })
  const metrics = createMetrics()
  const controller = await openController({ ground, store, issuer, identity, clock, logger, metrics })
  const api = await openApi({ ground, store, issuer, loop: controller.loop, logger, metrics })
  const stopping = new AbortController()
  const listening = listenForWakes(pool, controller.loop.ring, stopping.signal)
  const renewal = keepRenewed(async (signal) => {
    const authorityId = await follow(signal)
    await identity.renewIfDue(clock.now(), authorityId)
    await api.renewIfDue(clock.now(), authorityId)
  }, logger)
  logger.info({ apiUrl: api.url, holder: controller.holder, hosts: ground.hosts.map(({ host }) => host.name) }, 'the controller runs')
  return {
    apiUrl: api.url,
    async stop() {
      stopping.abort()
      await Promise.all([renewal.stop(), api.stop(), controller.stop(), listening])
      await pool.end()
    },
  }
}

/** Runs until it is told to stop. Exit codes: 0 stopped in order, 1 could not start, 3 the settings or the machine are unfit. */
export async function runService(): Promise<number> {
  let logger = createLogger({ level: 'info' })
  try {
    const config = loadConfig()
    logger = createLogger({ level: config.logLevel, pretty: config.logPretty })
    const told = toldToStop()
    // a start may wait for a minute for what it stands on; whatever it has begun by then, the next controller goes on with
    const service = await Promise.race([startService(config, logger), told.then(() => null)])
    await told
    await service?.stop()
    logger.info('the controller stopped')
    return 0
  } catch (error) {
    logger.fatal({ err: error }, describeError(error))
    return isHoldfastError(error) && (error.code === 'ConfigInvalid' || error.code === 'EngineMissing') ? 3 : 1
  }
}

function toldToStop(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}

// A start that failed half-way has a loop and connections already: it ends, so that whoever started it sees that and tries again.
if (import.meta.main) process.exit(await runService())
