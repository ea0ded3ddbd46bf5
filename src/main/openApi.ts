/** The API over HTTPS, with a certificate of the installation's authority unless the settings name one. */
import { readFile } from 'node:fs/promises'
import { createApi } from '../api/server.ts'
import { usualLimits, type ReadinessCheck } from '../api/settings.ts'
import type { Config } from '../config.ts'
import type { Loop } from '../controller/loop.ts'
import { describeError } from '../domain/errors.ts'
import type { CertificateIssuer } from '../domain/ports.ts'
import { createIdentity, type Identity } from '../pki/identity.ts'
import type { Store } from '../store/store.ts'
import type { Logger, Metrics } from '../telemetry.ts'
import type { Ground } from './ground.ts'
import { provisioningOf } from './provisioning.ts'

export interface ApiInputs {
  readonly ground: Ground
  readonly store: Store
  readonly issuer: CertificateIssuer
  readonly loop: Loop
  readonly logger: Logger
  readonly metrics: Metrics
}

export interface RunningApi {
  readonly url: string
  renewIfDue(now: Date, activeAuthorityId: string): Promise<void>
  stop(): Promise<void>
}

/** The loop asks the queue at least every second; longer silence means that it hangs or has no control database. */
const loopSilenceMs = 15_000

export async function openApi({ ground, store, issuer, loop, logger, metrics }: ApiInputs): Promise<RunningApi> {
  const { config } = ground
  const identity = config.api.tls === undefined ? await createIdentity(issuer, { commonName: 'Holdfast API', names: apiNames(config), usage: 'server' }) : null
  const app = await createApi({
    store, logger, metrics, tls: identity === null ? await configuredTls(config) : tlsOf(identity),
    settings: { installation: config.installation, metricsArePublic: false, ...usualLimits,
      deletedBackupsKeptDays: config.backups.deletedRetentionDays, provisioning: provisioningOf(ground) },
    readiness: () => readiness(store, loop),
  })
  const url = await app.listen({ host: config.api.listenAddress, port: config.api.port })
  return {
    url,
    async renewIfDue(now, activeAuthorityId) {
      if (identity !== null && (await identity.renewIfDue(now, activeAuthorityId))) app.server.setSecureContext(tlsOf(identity))
    },
    stop: () => app.close(),
  }
}

function tlsOf(identity: Identity): { key: string; cert: string } {
  const { keyPem, certificatePem } = identity.current()
  return { key: keyPem.reveal(), cert: certificatePem }
}

async function configuredTls({ api }: Config): Promise<{ key: string; cert: string }> {
  if (api.tls === undefined) throw new Error('no certificate is configured for the API')
  const [key, cert] = await Promise.all([readFile(api.tls.keyFile, 'utf8'), readFile(api.tls.certFile, 'utf8')])
  return { key, cert }
}

function apiNames({ api, endpoint }: Config): string[] {
  const everywhere = ['0.0.0.0', '::']
  const names = ['localhost', '127.0.0.1', api.listenAddress, endpoint.publicHost.toLowerCase()]
  return [...new Set(names)].filter((name) => !everywhere.includes(name)).sort()
}

async function readiness(store: Store, loop: Loop): Promise<ReadinessCheck[]> {
  const database = await store.ping().then(() => ({ ok: true, message: 'it answers' }), (error: unknown) => ({ ok: false, message: describeError(error) }))
  const alive = loop.lastAlive()
  const silence = alive === null ? Number.POSITIVE_INFINITY : Date.now() - alive.getTime()
  return [
    { name: 'controlDatabase', ...database },
    { name: 'loop', ok: silence < loopSilenceMs, message: alive === null ? 'it has not asked the queue yet' : `it asked the queue ${Math.round(silence / 1_000)} s ago` },
  ]
}
