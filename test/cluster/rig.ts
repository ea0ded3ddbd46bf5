/**
 * Three members of a cluster and three of etcd on the real engine, from rendered files, with no controller around them: what
 * Patroni does by itself. Everything carries a run label and is swept.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { bringUp } from '../../src/bootstrap/etcd/member.ts'
import { endpointOf, type EtcdPlace } from '../../src/bootstrap/etcd/place.ts'
import type { EngineClient, ExecResult } from '../../src/clients/docker.ts'
import { connectEtcd, type EtcdClient } from '../../src/clients/etcd.ts'
import { connectPatroni, type PatroniClient } from '../../src/clients/patroni.ts'
import { connectPostgres, type PostgresConnection } from '../../src/clients/postgres.ts'
import type { Blueprint, Blueprints } from '../../src/domain/blueprint.ts'
import { hostOf, type Desired, type Durability, type Instance, type Member } from '../../src/domain/desired.ts'
import { commonName, dcsNamespace, internalName, patroniName, resourceNames } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createContainer } from '../../src/executor/containers.ts'
import { createBlueprinter, type BlueprintSettings } from '../../src/render/blueprints.ts'
import { openTestEngine, type TestEngine } from '../e2e/testEngine.ts'
import { newInstallation, privateAddress } from '../executor/rig.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { sampleCluster, type ClusterSample } from './sample.ts'

export interface ClusterRig {
  readonly host: TestEngine
  readonly engine: EngineClient
  readonly sample: ClusterSample
  readonly instance: Instance
  /** As they would be now; `start` makes containers of what they were at its time. */
  blueprints(desired?: Desired): Blueprints
  readonly etcd: EtcdClient
  readonly prefix: string
  /** Etcd with user, role and prefix, and the network. */
  ground(): Promise<void>
  /** Pod and Patroni of one member, from nothing. */
  start(member: Member): Promise<void>
  /** Whoever answers the member's published port, as the controller. */
  query<T>(member: Member, text: string, row: z.ZodType<T>): Promise<readonly T[]>
  connect(member: Member): Promise<PostgresConnection>
  patroni(member: Member): PatroniClient
  /** As the failover guard does when a leader is proved dead: its key goes, `/sync` stays, and Patroni elects. */
  release(member: Member): Promise<void>
  /** Waits until the leader key is somebody else's, who takes writes. */
  newLeader(former: Member): Promise<Member>
  /** Waits until that many replicas are named in `/sync` and stream as such. */
  whole(replicas?: number): Promise<void>
  exec(member: Member, argv: readonly string[]): Promise<ExecResult>
  /** Whoever holds the leader key. */
  leader(): Promise<Member | null>
  sweep(): Promise<void>
}

const senderSchema = z.object({ name: z.string(), state: z.string() })
const syncSchema = z.object({ sync_standby: z.string().nullish() })
const signal = AbortSignal.timeout(1_200_000)

export interface ClusterRequest {
  readonly durability?: Durability
  /** An image that is there, in the place of the one that templates/ describe. */
  readonly postgresImage?: string
  /** Every member at an address of its own, as if each had a host of its own. */
  readonly isApart?: boolean
}

export async function openClusterRig({ durability = 'strict', postgresImage, isApart = false }: ClusterRequest = {}): Promise<ClusterRig> {
  const installation = newInstallation()
  const host = await openTestEngine(installation)
  const { engine } = host
  const random = randomBytes(4)
  // below the ports that connections out of this machine take, and beside those of the other tests
  const firstPort = 20_000 + random.readUInt16BE(2) % 1_900
  const images = { postgres: postgresImage ?? await host.image('postgres'), haproxy: 'none' }
  const net = `10.223.${random.readUInt8(1)}`
  // of networks with nobody in them: their gateways are addresses of this machine that containers reach
  const apart = isApart ? [32, 64, 96].map((at) => ({ subnet: `${net}.${at}/27`, gateway: `${net}.${at + 1}` })) : []
  const [one = privateAddress, two = privateAddress, three = privateAddress] = apart.map(({ gateway }) => gateway)
  const sample = await sampleCluster({ installation, privateAddress, images, now: new Date(), firstPort, subnet: `${net}.0/27` }, { durability, addresses: [one, two, three] })
  const { desired, instance } = sample
  const names = resourceNames(installation)
  const places = [1, 2, 3].map((ordinal): EtcdPlace =>
    ({ ordinal, hostId: 'here', engine, address: privateAddress, clientPort: firstPort + 20 + ordinal * 2, peerPort: firstPort + 21 + ordinal * 2 }))
  const settings: BlueprintSettings = {
    installation, publicBind: '127.0.0.1', dcs: { hosts: places.map(({ address, clientPort }) => ({ host: address, port: clientPort })), caPem: null, client: null },
    objectStore: {
      host: 'objectstore.holdfast.internal', port: 8443, region: 'us-east-1', bucket: 'none', uriStyle: 'path',
      accessKey: new Secret('AKTEST'), secretKey: new Secret('SKTEST'), caPem: null, address: privateAddress,
    },
  }
  const blueprints = (from = desired): Blueprints => createBlueprinter(settings).blueprints(from)
  const root = await sample.issue(commonName.controller(installation), [], 'client')
  const etcd = connectEtcd({
    endpoints: places.map(endpointOf), caPem: desired.trustBundlePem, certificatePem: root.certificatePem, keyPem: root.keyPem,
    user: 'root', password: new Secret(randomBytes(20).toString('base64url')),
  })
  const prefix = `${dcsNamespace(installation)}${instance.cluster?.scope ?? ''}/`

  const ground = async (): Promise<void> => {
    const labels = { 'io.holdfast.installation': installation }
    await engine.createNetwork({ name: names.network(desired.project.id), subnet: desired.networks[0]?.subnet ?? '', labels }, signal)
    for (const { subnet } of apart) await engine.createNetwork({ name: `${installation}-${subnet.replace(/[./]/g, '-')}`, subnet, labels }, signal)
    const image = await host.image('etcd')
    await Promise.all(places.map(async (place) => {
      const certificate = await sample.issue(commonName.etcd(installation), [internalName.etcd(place.ordinal), privateAddress], 'both')
      await bringUp({ settings: { installation, image, trustPem: desired.trustBundlePem }, place, certificate }, { state: 'new', cluster: places }, signal)
    }))
    await until('etcd takes users', async () => etcd.auth.enable(signal).catch((error: unknown) => new NotYet(String(error))))
    const { cluster } = instance
    if (cluster === null) throw new Error('the sample is no cluster')
    await etcd.auth.ensureUser({ name: cluster.user, password: cluster.password, prefix }, signal)
    await etcd.put(`${prefix}config`, JSON.stringify(blueprints().configurations.get(instance.id)), signal)
  }

  const addressOf = ({ hostId }: Pick<Member, 'hostId'>): string => hostOf(desired, hostId).privateAddress
  const connect = (member: Member): Promise<PostgresConnection> => connectPostgres({
    host: addressOf(member), port: member.ports.postgres, serverName: internalName.member(member.id), user: 'postgres', database: 'postgres',
    ca: desired.trustBundlePem, cert: sample.controller.certificatePem, key: sample.controller.keyPem, applicationName: 'test', connectTimeoutMs: 2_000,
  }, signal)

  const query: ClusterRig['query'] = async (member, statement, row) => {
    const connection = await connect(member)
    try {
      return await connection.query({ text: statement, row })
    } finally {
      connection.close()
    }
  }
  const leader: ClusterRig['leader'] = async () => {
    const owner = (await etcd.get(`${prefix}leader`, signal)).entry?.value
    return instance.members.find(({ id }) => patroniName(id) === owner) ?? null
  }

  return {
    host, engine, sample, instance, blueprints, etcd, prefix, ground, connect,
    start: async (member) => {
      const { pods, members } = blueprints()
      const made = [pods.get(member.id), members.get(member.id)].filter((one): one is Blueprint => one !== undefined)
      await engine.createVolume({ name: names.dataVolume(member.id), labels: { 'io.holdfast.installation': installation } }, signal)
      for (const blueprint of made) await createContainer(engine, blueprint, signal)
    },
    query,
    patroni: ({ id, hostId, ports }) => connectPatroni({
      host: addressOf({ hostId }), port: ports.patroni ?? 0, serverName: internalName.member(id),
      ca: desired.trustBundlePem, cert: sample.controller.certificatePem, key: sample.controller.keyPem,
    }, { username: instance.cluster?.user ?? '', password: instance.cluster?.password ?? new Secret('') }),
    exec: (member, argv) => engine.exec(names.member(member.id), argv, {}, signal),
    leader,
    release: async ({ id }) => {
      const [key, sync] = [`${prefix}leader`, `${prefix}sync`]
      const held = (await etcd.get(sync, signal)).entry
      if (held === null) throw new Error('/sync is not there')
      const when = [{ key, value: patroniName(id) }, { key: sync, modRevision: held.modRevision }]
      const { outcome } = await etcd.txn({ when, then: [{ kind: 'delete', key }, { kind: 'put', key: sync, value: held.value }] }, signal)
      if (outcome !== 'held') throw new Error(`the leader key was not given away: ${outcome}`)
    },
    newLeader: (former) => until('another leader that takes writes', async () => {
      const member = await leader()
      if (member === null || member.id === former.id) return new NotYet(member === null ? 'nobody leads' : 'the former one leads')
      const [row] = await query(member, 'select pg_is_in_recovery() as recovering', z.object({ recovering: z.boolean() })).catch(() => [])
      return row?.recovering === false ? member : new NotYet('it takes no writes yet')
    }, { everyMs: 20 }),
    whole: async (replicas = instance.members.length - 1) => {
      await until(`${replicas} synchronous replicas`, async () => {
        const [member, sync] = [await leader(), (await etcd.get(`${prefix}sync`, signal)).entry?.value ?? '{}']
        const named = syncSchema.parse(JSON.parse(sync)).sync_standby?.split(',') ?? []
        if (member === null) return new NotYet('nobody leads')
        const rows = await query(member, 'select application_name as name, sync_state as state from pg_stat_replication', senderSchema).catch(() => [])
        const counted = rows.filter(({ name, state }) => named.includes(name) && (state === 'sync' || state === 'quorum'))
        return named.length === replicas && counted.length === replicas ? true : new NotYet(`${sync} ${JSON.stringify(rows)}`)
      }, { everyMs: 50, limitMs: 120_000 })
    },
    sweep: async () => {
      await etcd.close()
      await host.sweep()
      for (const { name } of await engine.listNetworks({ 'io.holdfast.installation': installation }, signal)) await engine.removeNetwork(name, signal)
    },
  }
}
