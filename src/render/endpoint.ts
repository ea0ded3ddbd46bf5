/**
 * The files of a proxy's /conf volume: HAProxy and PgBouncer of one endpoint. Pure.
 * Everything here is applied by a reload; established connections stay.
 */
import type { RenderedFile } from '../domain/blueprint.ts'
import { commonName, internalName } from '../domain/names.ts'
import { address, cidr, databaseName, identifier, integer, lines, pem } from './encode.ts'
import { backendScripts, renderBackends, type EndpointTarget } from './endpointBackends.ts'
import { keyPairFiles, plainFile, rendered, secretFile, trustFile } from './rendered.ts'
import type { KeyMaterial, Rendered } from './rendered.ts'
import { renderTemplate } from './template.ts'

export interface EndpointInput {
  readonly installation: string
  readonly endpointId: string
  /** The customer's database behind the pooled port. */
  readonly databaseName: string
  readonly target: EndpointTarget
  /** `max_connections` of the members. */
  readonly maxConnections: number
  /** Addresses and networks in CIDR form that the public face accepts; empty: nobody. */
  readonly allowList: readonly string[]
  readonly trustBundlePem: string
  readonly server: KeyMaterial
  readonly client: KeyMaterial
}

/** Clients that PgBouncer serves over few connections; bounded by its memory, about 2 kB each when idle. */
const pooledConnections = 2_000

export function renderEndpoint(input: EndpointInput): Rendered {
  const controller = identifier(commonName.controller(input.installation))
  const files = [
    plainFile('/conf/haproxy.cfg', haproxy(input)),
    ...backendScripts(input.target),
    plainFile('/conf/pgbouncer.ini', pgbouncer(input)),
    plainFile('/conf/pgbouncer_hba.conf', renderTemplate('endpoint/pgbouncer_hba.conf', { controller })),
    // The console's user must be known by name; without a password only its certificate lets it in.
    plainFile('/conf/pgbouncer_users.txt', `"${controller.text}" ""\n`),
    plainFile('/conf/allowlist.lst', `${lines([...input.allowList].sort().map(cidr)).text}\n`),
    trustFile(input.trustBundlePem),
    ...keyPairFiles('server', input.server),
    pairInOneFile('server', input.server),
    ...keyPairFiles('client', input.client),
    // HAProxy shows it where it asks after the members' health; nobody asks a standalone.
    ...(input.target.kind !== 'standalone' ? [pairInOneFile('client', input.client)] : []),
  ]
  return rendered(files, [], (hash) => plainFile('/conf/revision.cfg', `global\n  set-var proc.revision str(${hash})\n`))
}

/** As HAProxy wants it. */
function pairInOneFile(name: string, pair: KeyMaterial): RenderedFile {
  return secretFile(`/conf/tls/${name}.pem`, pem(pair.certificatePem) + pem(pair.keyPem.reveal()))
}

function haproxy(input: EndpointInput): string {
  // More than Postgres admits, so that its own answer (too many clients) reaches the client instead of a silent queue.
  const clients = input.maxConnections * 2 + 50
  return renderTemplate('endpoint/haproxy.cfg', {
    controller: identifier(commonName.controller(input.installation)),
    backends: renderBackends(input.target, { database: input.databaseName, size: poolSize(input) }),
    maxConnections: integer(clients),
    serverMaxConnections: integer(clients * 2),
    pooledConnections: integer(pooledConnections),
    globalMaxConnections: integer(clients * 4 + pooledConnections + 100),
    threads: integer(1),
  })
}

function pgbouncer(input: EndpointInput): string {
  // The pool leaves a part of the connections to clients that come directly.
  const serverConnections = Math.max(4, Math.floor(input.maxConnections * 0.7))
  return renderTemplate('endpoint/pgbouncer.ini', {
    controller: identifier(commonName.controller(input.installation)),
    database: databaseName(input.databaseName),
    endpoint: address(internalName.endpoint(input.endpointId)),
    poolSize: integer(poolSize(input)),
    reserveSize: integer(Math.max(1, Math.floor(input.maxConnections * 0.1))),
    serverConnections: integer(serverConnections),
    clientConnections: integer(pooledConnections),
  })
}

function poolSize({ maxConnections }: EndpointInput): number {
  return Math.max(3, Math.floor(maxConnections * 0.4))
}
