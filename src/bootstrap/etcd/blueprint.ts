/** The container of one member of the embedded etcd, with the same hardening as every other (templates/images/etcd). */
import { createHash } from 'node:crypto'
import type { Blueprint, RenderedFile } from '../../domain/blueprint.ts'
import { commonName, label } from '../../domain/names.ts'
import { address, encoded, identifier, port, type Encoded } from '../../render/encode.ts'
import { keyPairFiles, plainFile, trustFile, type KeyMaterial } from '../../render/rendered.ts'
import { renderTemplate } from '../../render/template.ts'
import { memberName, type EtcdPlace } from './place.ts'

export interface EtcdSettings {
  readonly installation: string
  readonly image: string
  readonly trustPem: string
}

/** How a member with an empty volume begins; null: it must not. */
export interface Joining {
  readonly state: 'new' | 'existing'
  /** All members, itself among them. */
  readonly cluster: readonly EtcdPlace[]
}

const mib = 1024 * 1024
/** 40 MiB idle; the file of the store is mapped, so that what is read of it counts as well. */
const limits = { memoryBytes: 1024 * mib, cpus: 2, pids: 128, shmBytes: 16 * mib }
const clientPort = 2379
const peerPort = 2380

/** Files that etcd reads at its start only. */
export const startFiles: ReadonlySet<string> = new Set(['/conf/flags', '/conf/tls/ca.crt'])
export const joiningPath = '/conf/initial'
/** What the image ends with when the volume is empty and it was not told to join. */
export const dataMissingCode = 65

export function etcdContainer(installation: string, ordinal: number): string {
  return `${installation}-etcd-${ordinal}`
}

export function dataVolume(installation: string, ordinal: number): string {
  return `${etcdContainer(installation, ordinal)}-data`
}

export function etcdBlueprint({ installation, image, trustPem }: EtcdSettings, place: EtcdPlace, certificate: KeyMaterial): Blueprint {
  const name = etcdContainer(installation, place.ordinal)
  const spec = {
    name,
    hostId: place.hostId,
    image,
    command: [],
    mounts: [{ volume: dataVolume(installation, place.ordinal), path: '/data' }, { volume: `${name}-conf`, path: '/conf' }],
    network: { name: 'bridge', aliases: [] },
    ports: [
      { containerPort: clientPort, address: place.address, hostPort: place.clientPort },
      { containerPort: peerPort, address: place.address, hostPort: place.peerPort },
    ],
    extraHosts: [],
    limits,
    restart: 'always',
  } as const
  const specHash = createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 16)
  const labels = { [label.installation]: installation, [label.kind]: 'etcd', [label.spec]: specHash }
  const flags = renderTemplate('etcd/flags.conf', {
    name: identifier(memberName(place)), clientUrl: url(place.address, place.clientPort), peerUrl: url(place.address, place.peerPort),
    peerCommonName: identifier(commonName.etcd(installation)),
  })
  const files = [plainFile('/conf/flags', flags), trustFile(trustPem), ...keyPairFiles('server', certificate)]
  // Files are compared one by one, so their hash decides nothing.
  return { ...spec, labels, files, specHash, configHash: '' }
}

export function joiningFile(installation: string, joining: Joining | null): RenderedFile {
  if (joining === null) return plainFile(joiningPath, '# This member has joined: an empty volume is a loss.\n')
  const members = joining.cluster.map((place) => encoded`${identifier(memberName(place))}=${url(place.address, place.peerPort)}`)
  return plainFile(joiningPath, renderTemplate('etcd/initial.conf', {
    cluster: members.reduce((all, one) => encoded`${all},${one}`), state: identifier(joining.state), token: identifier(`${installation}-etcd`),
  }))
}

function url(host: string, number: number): Encoded {
  return host.includes(':') ? encoded`https://[${address(host)}]:${port(number)}` : encoded`https://${address(host)}:${port(number)}`
}
