/** An embedded etcd for tests: members on the real engine, an authority of its own, and certificates as anybody may have them. */
import { createServer } from 'node:net'
import type Docker from 'dockerode'
import { etcdContainer } from '../../src/bootstrap/etcd/blueprint.ts'
import { endpointOf, ensureEtcd, type EnsureEtcdOptions, type EtcdMemberParts } from '../../src/bootstrap/etcd.ts'
import { ensureEngine, engineInfo } from '../../src/bootstrap/engine.ts'
import { ensureImages } from '../../src/bootstrap/images.ts'
import { takeDown } from '../../src/bootstrap/takeDown.ts'
import { connectEngine, type EngineClient } from '../../src/clients/docker.ts'
import { connectEtcd, type EtcdAccess, type EtcdClient } from '../../src/clients/etcd.ts'
import { commonName, internalName, label } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createAuthority, type Authority } from '../../src/pki/authority.ts'
import { issueCertificate } from '../../src/pki/certificate.ts'
import type { KeyMaterial } from '../../src/render/rendered.ts'
import type { Endings } from './endings.ts'
import { runLabelOf } from './testRun.ts'

export interface TestEtcd {
  readonly docker: Docker
  readonly engine: EngineClient
  readonly authority: Authority
  readonly members: readonly EtcdMemberParts[]
  readonly access: EtcdAccess
  /** What it was told when it mended something. */
  readonly reports: string[]
  client(over?: Partial<EtcdAccess>): EtcdClient
  container(ordinal: number): string
  /** As the service does at each start; `over` for members that should be otherwise. */
  ensure(over?: Partial<EnsureEtcdOptions>): Promise<void>
  /** For the same names as the one it has. */
  renewed(member: EtcdMemberParts): Promise<EtcdMemberParts>
  clientCertificate(name: string, authority?: Authority): Promise<KeyMaterial>
}

const hourMs = 3_600_000
const setUpMs = 10 * 60_000
const workMs = 120_000

/** Formed. The caller's `after` takes it away. */
export async function openEtcd(t: Endings, installation: string, size: 1 | 3): Promise<TestEtcd> {
  const { docker, connection } = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(setUpMs) })
  const engine = connectEngine({ ...connection, labels: { [label.run]: runLabelOf(installation) } })
  const away = (): Promise<unknown> => takeDown({ engine, installation, keepData: false, say: () => undefined, signal: AbortSignal.timeout(workMs) })
  await away()
  t.after(async () => void (await away()))
  const { etcd: image } = await ensureImages({ docker, names: ['etcd'], report: () => undefined, signal: AbortSignal.timeout(setUpMs) })
  const { privateAddress } = await engineInfo({ docker, connection }, AbortSignal.timeout(workMs))
  const authority = await createAuthority({ commonName: 'test', validityMs: hourMs, now: new Date() })
  const issue = async (by: Authority, name: string, names: readonly string[], usages: 'client' | 'both'): Promise<KeyMaterial> => {
    const { certPem, keyPem } = await issueCertificate(by, {
      commonName: name, dnsNames: names, ipAddresses: names.length === 0 ? [] : [privateAddress], usages, validityMs: hourMs, now: new Date(),
    })
    return { certificatePem: certPem, keyPem }
  }
  const memberCertificate = (ordinal: number): Promise<KeyMaterial> => issue(authority, commonName.etcd(installation), [internalName.etcd(ordinal)], 'both')
  const ports = await freePorts(privateAddress, 2 * size)
  const members = await Promise.all(Array.from({ length: size }, async (_, at): Promise<EtcdMemberParts> => ({
    settings: { installation, image, trustPem: authority.certPem },
    place: { ordinal: at + 1, hostId: 'local', engine, address: privateAddress, clientPort: ports[2 * at] ?? 0, peerPort: ports[2 * at + 1] ?? 0 },
    certificate: await memberCertificate(at + 1),
  })))
  const clientCertificate: TestEtcd['clientCertificate'] = (name, by = authority) => issue(by, name, [], 'client')
  const access: EtcdAccess = {
    endpoints: members.map(({ place }) => endpointOf(place)), caPem: authority.certPem, ...await clientCertificate(commonName.controller(installation)),
    user: 'root', password: new Secret('a-root-password-of-a-test'),
  }
  const reports: string[] = []
  let isFormed = false
  const ensure: TestEtcd['ensure'] = (over = {}) => ensureEtcd({
    members, access, report: ({ detail }) => void reports.push(detail), signal: AbortSignal.timeout(workMs),
    formation: {
      isNoted: () => Promise.resolve(isFormed),
      note: () => {
        isFormed = true
        return Promise.resolve()
      },
    },
    ...over,
  })
  await ensure()
  const clients: EtcdClient[] = []
  t.after(async () => void (await Promise.all(clients.map((client) => client.close()))))
  return {
    docker, engine, authority, members, access, reports, ensure, clientCertificate,
    renewed: async (member) => ({ ...member, certificate: await memberCertificate(member.place.ordinal) }),
    container: (ordinal) => etcdContainer(installation, ordinal),
    client: (over = {}) => {
      const client = connectEtcd({ ...access, ...over })
      clients.push(client)
      return client
    },
  }
}

async function freePorts(address: string, count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(servers.map((server) => new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, () => {
      const bound = server.address()
      if (typeof bound === 'object' && bound !== null) resolve(bound.port)
    })
  })))
  // held until all are known, so that no two are the same
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
