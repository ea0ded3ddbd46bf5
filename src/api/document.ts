/** The OpenAPI document as text, as docs/openapi.json holds it. Nothing behind the routes is asked anything. */
import pg from 'pg'
import { pino } from 'pino'
import { Histogram, Registry } from 'prom-client'
import { Keyring } from '../domain/keyring.ts'
import { Secret } from '../domain/secret.ts'
import { createStore } from '../store/store.ts'
import { documentPath } from './openapi.ts'
import { createApi } from './server.ts'
import { usualLimits, type ApiParts } from './settings.ts'

export async function documentText(): Promise<string> {
  const app = await createApi(idleParts())
  try {
    const { body } = await app.inject(documentPath)
    const document: unknown = JSON.parse(body)
    return `${JSON.stringify(document, null, 2)}\n`
  } finally {
    await app.close()
  }
}

/** A pool connects when it is first asked, and seals nothing before: neither ever happens here. */
function idleParts(): ApiParts {
  const keyring = Keyring.parse(new Secret(`none:${Buffer.alloc(32).toString('base64')}`))
  const registry = new Registry()
  return {
    store: createStore({ pool: new pg.Pool(), keyring }),
    settings: {
      installation: 'holdfast',
      provisioning: {
        images: { postgres: '', haproxy: '' },
        endpointHost: () => '',
        portRanges: { public: { from: 0, to: 0 }, internal: { from: 0, to: 0 } },
        networkPool: { cidr: '', prefix: 0 },
      },
      metricsArePublic: false,
      deletedBackupsKeptDays: 0,
      ...usualLimits,
    },
    logger: pino({ level: 'silent' }),
    metrics: { registry, apiRequestDuration: new Histogram({ name: 'none', help: 'none', labelNames: ['method', 'route', 'status'], registers: [registry] }) },
    readiness: async () => [],
    tls: { key: '', cert: '' },
  }
}
