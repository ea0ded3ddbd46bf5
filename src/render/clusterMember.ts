/**
 * The files of the /conf volume of a cluster's member: those of every member, and Patroni's. Pure. Patroni includes
 * /conf/postgresql.conf in what it writes into PGDATA, so that a copy of one member never carries another one's configuration.
 */
import type { RenderedFile } from '../domain/blueprint.ts'
import type { ClusterScope } from '../domain/desired.ts'
import { Encoded, absolutePath, address, encoded, identifier, indented, integer, lines, pem, port, yamlString } from './encode.ts'
import { memberFiles, renderedMember, type MemberInput } from './member.ts'
import { keyPairFiles, plainFile, secretFile, type KeyMaterial, type Rendered } from './rendered.ts'
import { renderPart, renderTemplate } from './template.ts'

/** Where containers find etcd. */
export interface DcsAccess {
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  /** The authority of an etcd that is not ours. Null: the installation's own, and members show it their certificates. */
  readonly caPem: string | null
  /** What to show an etcd that is not ours; null: nothing. It opens the transport only: what a member may do is its user's. */
  readonly client: KeyMaterial | null
}

export interface ClusterMemberInput extends Omit<MemberInput, 'mayInitialise'> {
  /** What Patroni calls it. */
  readonly name: string
  /** What it calls all members, itself among them. */
  readonly names: readonly string[]
  /** Where all others reach it: its host's address and the ports published there. */
  readonly address: string
  readonly ports: { readonly postgres: number; readonly patroni: number }
  readonly namespace: string
  readonly scope: ClusterScope
  readonly dcs: DcsAccess
  /** What it may begin a cluster of, which etcd knows nothing of: a new database, the data on its volume, or a copy of the instance that it follows. Null: nothing, it copies a leader. */
  readonly begins: 'newDatabase' | 'restoredData' | 'copy' | null
  /** The text of `clusterConfiguration`, with which a new cluster begins. */
  readonly configurationText: string
  /** See `MemberSettings`. */
  readonly copyRateMib?: number | undefined
}

const ownAuthorityPath = '/conf/tls/ca.crt'
const foreignAuthorityPath = '/conf/tls/etcd-ca.crt'
/** See `keyPairFiles`. */
const foreignClientName = 'etcd-client'

export function renderClusterMember(input: ClusterMemberInput): Rendered {
  const { caPem, client } = input.dcs
  return renderedMember([
    ...memberFiles({ ...input, mayInitialise: input.begins === 'newDatabase' }).map(withPatroni),
    secretFile('/conf/patroni.yml', patroniYml(input)),
    ...(caPem === null ? [] : [plainFile(foreignAuthorityPath, pem(caPem))]),
    ...(client === null ? [] : keyPairFiles(foreignClientName, client)),
  ])
}

/** Patroni comes to its own Postgres over the socket. */
function withPatroni(file: RenderedFile): RenderedFile {
  switch (file.path) {
    case '/conf/pg_hba.conf':
      return { ...file, content: `${renderTemplate('cluster/pg_hba.conf', {})}${file.content}` }
    case '/conf/pg_ident.conf':
      return { ...file, content: `${file.content}${renderTemplate('cluster/pg_ident.conf', {})}` }
    default:
      return file
  }
}

function patroniYml(input: ClusterMemberInput): string {
  const { scope, dcs, ports } = input
  const isOurs = dcs.caPem === null
  const name = isOurs ? 'server' : dcs.client === null ? null : foreignClientName
  const shown = name === null ? null : identifier(name)
  return renderTemplate('cluster/patroni.yml', {
    scope: identifier(scope.scope),
    namespace: absolutePath(input.namespace),
    name: identifier(input.name),
    members: list(input.names.map(identifier)),
    address: address(input.address),
    postgresPort: port(ports.postgres),
    restPort: port(ports.patroni),
    user: yamlString(scope.user),
    password: yamlString(scope.password.reveal()),
    etcdHosts: list(dcs.hosts.map((one) => yamlString(`${address(one.host).text}:${port(one.port).text}`))),
    etcdAuthority: absolutePath(isOurs ? ownAuthorityPath : foreignAuthorityPath),
    etcdCertificate: lines(shown === null ? [] : [encoded`  cert: /conf/tls/${shown}.crt`, encoded`  key: /conf/tls/${shown}.key`]),
    basebackup: lines([encoded`    - checkpoint: fast`, ...(input.copyRateMib === undefined ? [] : [encoded`    - max-rate: ${integer(input.copyRateMib)}M`])]),
    bootstrap: input.begins === null ? lines([]) : bootstrap(input.begins, input.configurationText),
  })
}

const beginnings = { newDatabase: 'initdb', restoredData: 'adopt', copy: 'follow' } as const

function bootstrap(begins: NonNullable<ClusterMemberInput['begins']>, configurationText: string): Encoded {
  const method = renderPart(`cluster/${beginnings[begins]}.yml`, {})
  return renderPart('cluster/bootstrap.yml', { configuration: indented(new Encoded(configurationText), 4), method: indented(method, 2) })
}

function list(parts: readonly Encoded[]): Encoded {
  return new Encoded(`[${parts.map(({ text }) => text).join(', ')}]`)
}
