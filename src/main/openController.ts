/** The loop with everything it looks and acts through, and the duties of the installation. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { controlDump } from '../bootstrap/controlDump.ts'
import { connectEtcd } from '../clients/etcd.ts'
import { readPatroni } from '../clients/patroni.ts'
import { connectObjectStore } from '../clients/s3.ts'
import type { EngineClient } from '../clients/docker.ts'
import { startDuties, type Duty } from '../controller/duties.ts'
import { startLoop, type Loop } from '../controller/loop.ts'
import { scheduleOf } from '../controller/schedule.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { CertificateIssuer, Clock } from '../domain/ports.ts'
import { backUpControlDatabase } from '../executor/controlBackup.ts'
import { createExecutor } from '../executor/executor.ts'
import { createObserver } from '../observer/observer.ts'
import { Secret } from '../domain/secret.ts'
import type { Identity } from '../pki/identity.ts'
import { createBlueprinter, type ObjectStoreAccess } from '../render/blueprints.ts'
import { keepBlueprints } from '../render/keptBlueprints.ts'
import type { Store } from '../store/store.ts'
import type { Logger, Metrics } from '../telemetry.ts'
import { authorityDuty } from './authority.ts'
import { etcdDuties } from './etcdDuties.ts'
import type { Ground } from './ground.ts'
import { openGuard } from './guard.ts'
import { passReport } from './report.ts'
import { tellingStore } from './tellingStore.ts'

export interface ControllerParts {
  readonly ground: Ground
  readonly store: Store
  readonly issuer: CertificateIssuer
  readonly identity: Identity
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

export interface RunningController {
  readonly loop: Loop
  readonly holder: string
  stop(): Promise<void>
}

const controlBackupSeconds = 3_600
const controlBackupTimeoutSeconds = 300

export async function openController(parts: ControllerParts): Promise<RunningController> {
  const { ground, store, issuer, identity, clock, logger, metrics } = parts
  const { config, s3 } = ground
  const { installation, controller } = config
  const objectStore = connectObjectStore(s3.connection)
  const engineOf = enginesOf(ground)
  const etcd = connectEtcd(ground.etcd)
  const observer = createObserver({
    installation, clock, log: logger.child({ room: 'observer' }), engineOf: (host) => engineOf(host.id), identity: identity.current, etcd, readPatroni,
    store: { bucket: s3.bucket, listing: objectStore, check: (signal) => objectStore.headObject(s3.bucket, 'health', signal) },
  })
  const blueprinter = createBlueprinter({ installation, publicBind: config.endpoint.publicBind, objectStore: storeAccess(ground), dcs: ground.etcdForMembers, copyRateMib: config.copyRateMib })
  const holder = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`
  const { guard, ...guarding } = openGuard({ installation, enabled: config.failover.guard, controller: holder, engineOf, observer, etcd, identity, store, logger })
  const executor = createExecutor({
    installation, engines: engineOf, storageLimit: config.storageLimit, blueprinter, repositoryOf: (instanceId) => store.backups.repositoryOf(instanceId),
    desiredOf: (databaseId) => store.desired.load(databaseId),
    postgres: { identity: identity.current, clock }, repositories: { store: objectStore, bucket: s3.bucket },
    etcd, mover: guard,
  })
  const report = passReport(logger, metrics)
  const loop = startLoop(
    { installation, store: tellingStore(store), observer: guarding.telling(observer), executor, blueprinter: keepBlueprints(blueprinter), issuer, scheduleOf: scheduleOf(config.backups), onAction: report.onAction },
    {
      holder, concurrency: controller.concurrency, leaseSeconds: controller.leaseSeconds,
      resyncMs: controller.resyncSeconds * 1_000, passTimeoutMs: controller.passTimeoutMs,
    },
    report,
  )
  observer.watch(await store.hosts.active())
  const unsubscribe = observer.subscribe(loop.wake)
  const backUp: Duty = {
    name: 'controlBackup', everySeconds: controlBackupSeconds, timeoutSeconds: controlBackupTimeoutSeconds,
    run: (signal) => backUpControlDatabase(
      { dump: (inner) => controlDump(ground, inner), keyring: ground.keyring, objectStore, bucket: s3.bucket, copies: store.controlBackups }, clock.now(), signal),
  }
  const duties = startDuties({ store, holder, duties: [backUp, authorityDuty(config, store, clock, logger), ...etcdDuties({ ground, store, objectStore, clock })], trouble: report.trouble })
  return {
    loop, holder,
    async stop() {
      unsubscribe()
      await Promise.all([loop.stop(), duties.stop()])
      await guarding.stop()
      await observer.close()
      await etcd.close()
      objectStore.close()
    },
  }
}

function enginesOf({ hosts }: Ground): (hostId: string) => EngineClient {
  const engines = new Map(hosts.map(({ host, engine }) => [host.id, engine]))
  return (hostId) => {
    const engine = engines.get(hostId)
    if (engine !== undefined) return engine
    throw new HoldfastError('EngineUnreachable', `No engine is configured for host ${hostId}`, { next: 'Add the host to the settings' })
  }
}

function storeAccess({ config, s3 }: Ground): ObjectStoreAccess {
  const { connection, bucket } = s3
  const url = new URL(connection.endpoint)
  return {
    host: url.hostname, port: url.port === '' ? 443 : Number(url.port), region: connection.region, bucket,
    uriStyle: connection.forcePathStyle ? 'path' : 'host', accessKey: new Secret(connection.accessKeyId), secretKey: connection.secretAccessKey,
    caPem: connection.caPem ?? null, address: connection.address ?? null, isOurs: config.s3 === undefined,
  }
}
