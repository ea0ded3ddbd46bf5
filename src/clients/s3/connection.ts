/** How the SDK is set up for stores that are not Amazon's own. */
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { Agent, type AgentOptions } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { S3Connection } from '../s3.ts'

const connectTimeoutMs = 3_000
const maxSockets = 16
/** Tries of one request: network errors and 5xx only, with the SDK's backoff. */
const maxAttempts = 3

export function connectionFor(connection: S3Connection): S3ClientConfig {
  const { address } = connection
  return {
    endpoint: connection.endpoint,
    region: connection.region,
    forcePathStyle: connection.forcePathStyle,
    credentials: { accessKeyId: connection.accessKeyId, secretAccessKey: connection.secretAccessKey.reveal() },
    // By default the SDK streams with trailers; Ceph then keeps `aws-chunked` as the content encoding of the object.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      httpsAgent: new TrustingAgent(connection, {
        keepAlive: true,
        maxSockets,
        ...(address === undefined ? {} : { lookup: always(address) }),
      }),
    },
  }
}

/** Trusts at each connection what is trusted then. */
class TrustingAgent extends Agent {
  readonly #connection: S3Connection

  constructor(connection: S3Connection, options: AgentOptions) {
    super(options)
    this.#connection = connection
  }

  override createConnection(...[options, callback]: Parameters<Agent['createConnection']>): ReturnType<Agent['createConnection']> {
    const { caPem } = this.#connection
    return super.createConnection(caPem === undefined ? options : { ...options, ca: caPem }, callback)
  }
}

/** Resolves every name to one address, so that TLS verifies the name and no DNS has to know it. */
function always(address: string): LookupFunction {
  const family = isIP(address)
  return (_host, options, done) => {
    if (options.all === true) done(null, [{ address, family }])
    else done(null, address, family)
  }
}
