/** The part of a proxy's configuration that says where its clients are sent, and the scripts that it needs for that. Pure. */
import type { RenderedFile } from '../domain/blueprint.ts'
import { address, databaseName, encoded, identifier, integer, lines, port } from './encode.ts'
import type { Encoded } from './encode.ts'
import { configHash, plainFile } from './rendered.ts'
import { renderPart, renderTemplate } from './template.ts'

export interface ClusterServer {
  /** Patroni's name of the member: the controller and HAProxy's log call it so. */
  readonly name: string
  readonly address: string
  readonly ports: { readonly postgres: number; readonly patroni: number }
  /** Carried by the certificate of its REST API. */
  readonly serverName: string
}

export type EndpointTarget =
  /** Where the Postgres of a standalone is published. */
  | { readonly kind: 'standalone'; readonly address: string; readonly port: number }
  | { readonly kind: 'cluster'; readonly servers: readonly ClusterServer[] }
  /** Both are there; `serves`: which of them has the clients. */
  | { readonly kind: 'moving'; readonly serves: 'standalone' | 'cluster'; readonly address: string; readonly port: number; readonly servers: readonly ClusterServer[] }

const scriptNames = {
  standalone: ['await-server.lua', 'pooler.lua', 'await-restart.lua'],
  cluster: ['await-server.lua', 'end-sessions.lua', 'pooler.lua'],
  moving: ['await-server.lua', 'end-sessions.lua', 'lend-server.lua', 'pooler.lua', 'await-restart.lua'],
} as const satisfies Record<EndpointTarget['kind'], readonly string[]>

/** Loaded by what `renderBackends` says. They belong to the configuration and not to the image, which stays as old as its database. */
export function backendScripts({ kind }: EndpointTarget): readonly RenderedFile[] {
  return scriptNames[kind].map((name) => plainFile(`/conf/${name}`, renderTemplate(`endpoint/${name}`, {})))
}

export interface Pools {
  /** The customer's, by whose name PgBouncer knows its pools. */
  readonly database: string
  /** PgBouncer's default_pool_size. */
  readonly size: number
}

export function renderBackends(target: EndpointTarget, pools: Pools): Encoded {
  // a proxy begins anew when this text is another one: so it names what else it reads
  const scripts = encoded`scripts ${identifier(configHash(backendScripts(target)))}`
  const inputs = { database: databaseName(pools.database), poolSize: integer(pools.size), scripts }
  switch (target.kind) {
    case 'standalone':
      return renderPart('endpoint/backends-standalone.cfg', {
        ...inputs, address: address(target.address), port: port(target.port),
      })
    case 'cluster':
      return renderPart('endpoint/backends-cluster.cfg', {
        ...inputs,
        leaders: lines(target.servers.map(checkedLine)),
        replicas: lines(target.servers.map(checkedLine)),
        standIns: lines(target.servers.map(standInLine)),
      })
    case 'moving': {
      const isMoved = target.serves === 'cluster'
      return renderPart('endpoint/backends-moving.cfg', {
        ...inputs,
        address: address(target.address),
        port: port(target.port),
        state: lines(isMoved ? [encoded`disabled`] : []),
        leaders: lines(target.servers.map(checkedLine)),
        // who follows a standalone may be behind: it is read from only while the standalone is on its way out
        readers: lines(target.servers.map((server) => (isMoved ? checkedLine(server) : encoded`${checkedLine(server)} backup`))),
        standIns: lines(isMoved ? target.servers.map(standInLine) : []),
      })
    }
  }
}

/** The certificate shown is the endpoint's own; that of the member has to be of our authority, and carry its name. */
function checkedLine(server: ClusterServer): Encoded {
  const tls = encoded`check-ssl ca-file /conf/tls/ca.crt crt /conf/tls/client.pem verify required verifyhost ${address(server.serverName)}`
  return encoded`  server ${identifier(server.name)} ${placeOf(server)} check port ${port(server.ports.patroni)} ${tls}`
}

/** Up when the member leads: what `be_rw` found out counts here, too. */
function standInLine(server: ClusterServer): Encoded {
  const name = identifier(server.name)
  return encoded`  server leader-${name} ${placeOf(server)} backup track be_rw/${name}`
}

function placeOf(server: ClusterServer): Encoded {
  return encoded`${address(server.address)}:${port(server.ports.postgres)}`
}
