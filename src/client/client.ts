/** The typed client of the API. Its types come from docs/openapi.json; it knows nothing else of the service. */
import createFetchClient from 'openapi-fetch'
import type { Client } from 'openapi-fetch'
import { Agent } from 'undici'
import type { paths } from './schema.ts'

/** `reconcile` may hold its answer back for a minute; nothing else takes seconds. */
const answerTimeoutMs = 90_000
const connectTimeoutMs = 10_000

export interface ClientOptions {
  /** `https://host:port`. */
  readonly baseUrl: string
  /** Null for what needs none, such as `/v1/ca.pem`. */
  readonly token: string | null
  /** PEM of the installation's authorities; null to trust what Node trusts. */
  readonly ca: string | null
}

export interface HoldfastClient extends Client<paths> {
  /** Ends its connections; without it they keep the process alive for a while. */
  close(): Promise<void>
}

export function createClient({ baseUrl, token, ca }: ClientOptions): HoldfastClient {
  // Node's own fetch takes no certificates, but a dispatcher of undici, which it is made of
  const dispatcher = new Agent({
    connect: { timeout: connectTimeoutMs, ...(ca === null ? {} : { ca }) },
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
  })
  const client = createFetchClient<paths>({
    baseUrl,
    requestInitExt: { dispatcher },
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  })
  return { ...client, close: () => dispatcher.close() }
}
