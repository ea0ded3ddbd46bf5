/** What the service stands on, each part there for certain: engines, images, keys, control database, object store. */
import {
  beginPreparation, prepareControlDatabase, prepareEngines, prepareImages, prepareStores, type Preparation, type PreparedHost, type S3Access, type Say,
} from '../bootstrap/prepare.ts'
import type { ControlConnection, ControlTls } from '../bootstrap/controlConnection.ts'
import type { FirstAuthority } from '../bootstrap/authorityFile.ts'
import { endpointOf } from '../bootstrap/etcd.ts'
import { etcdForMembers, mendEtcd, type EtcdForMembers, type PreparedEtcd } from '../bootstrap/prepareEtcd.ts'
import type { EtcdAccess, EtcdEndpoint } from '../clients/etcd.ts'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { Logger } from '../telemetry.ts'

export interface Ground {
  readonly config: Config
  readonly keyring: Keyring
  readonly first: FirstAuthority
  readonly hosts: readonly PreparedHost[]
  readonly images: { readonly postgres: string; readonly haproxy: string }
  readonly controlDatabase: ControlConnection
  readonly s3: S3Access
  /** As it is now: what it shows and trusts follows the authority. */
  readonly etcd: EtcdAccess
  /** What the members of clusters are told of it. */
  readonly etcdForMembers: EtcdForMembers
  /** Of the embedded etcd; empty when it is somebody else's. */
  readonly etcdMembers: readonly { readonly endpoint: EtcdEndpoint; readonly hostId: string }[]
  /** Members of the embedded etcd are started, replaced and told what changed; nothing of one that is not ours. */
  readonly mendEtcd: (signal: AbortSignal) => Promise<void>
  /** From now on the embedded services show and trust what this authority signs and trusts, and so do we when we connect. */
  readonly follow: (authority: FirstAuthority, signal: AbortSignal) => Promise<void>
}

/** A bare machine installs an engine and builds images; one that was prepared takes a second. */
const prepareTimeoutMs = 30 * 60_000

export async function prepareGround(config: Config, logger: Logger): Promise<Ground> {
  const signal = AbortSignal.timeout(prepareTimeoutMs)
  const say = (line: string): void => logger.debug({ line }, 'preparing')
  const preparation = await beginPreparation(config, (line) => logger.warn({ line }, 'announcement'))
  for (const step of [prepareEngines, prepareImages, prepareControlDatabase, prepareStores]) await step(preparation, say, signal)
  return complete(preparation, say)
}

function complete(preparation: Preparation, say: Say): Ground {
  const { config, keyring, first, hosts, images, controlDatabase, s3, etcd } = preparation
  const { postgres, haproxy } = images
  if (postgres === undefined || haproxy === undefined || controlDatabase === null || s3 === null || etcd === null) {
    throw new HoldfastError('StartFailed', 'The preparation ended without everything that the service stands on')
  }
  return {
    config, keyring, first, hosts, images: { postgres, haproxy },
    controlDatabase: controlDatabase.tls === null ? controlDatabase : { url: controlDatabase.url, tls: () => tlsNow(preparation) },
    s3: config.s3 === undefined ? trustingNow(preparation, s3) : s3,
    etcd: etcdNow(preparation),
    etcdForMembers: etcdForMembers(config, etcd.access),
    etcdMembers: etcd.members.map(({ place }) => ({ endpoint: endpointOf(place), hostId: place.hostId })),
    mendEtcd: (signal) => mendEtcd(config, preparedEtcd(preparation), say, signal),
    async follow(authority, signal) {
      // trusted before anybody shows it
      preparation.first = authority
      for (const step of [prepareControlDatabase, prepareStores]) await step(preparation, say, signal)
    },
  }
}

function tlsNow({ controlDatabase, first }: Preparation): ControlTls {
  const tls = controlDatabase?.tls ?? null
  if (tls === null) throw new HoldfastError('Internal', 'the embedded control database is not prepared')
  return { ...tls(), ca: first.trustPem }
}

function preparedEtcd({ etcd }: Preparation): PreparedEtcd {
  if (etcd === null) throw new HoldfastError('Internal', 'etcd is not prepared')
  return etcd
}

function etcdNow(preparation: Preparation): EtcdAccess {
  const now = (): EtcdAccess => preparedEtcd(preparation).access
  return {
    get endpoints() { return now().endpoints },
    get caPem() { return now().caPem },
    get certificatePem() { return now().certificatePem },
    get keyPem() { return now().keyPem },
    get user() { return now().user },
    get password() { return now().password },
  }
}

function trustingNow(preparation: Preparation, { connection, bucket }: S3Access): S3Access {
  return { bucket, connection: { ...connection, get caPem() { return preparation.first.trustPem } } }
}
