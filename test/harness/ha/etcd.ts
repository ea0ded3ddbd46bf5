/** The embedded etcd's members, for faults: where they are and which of them leads, asked of each one. */
import { request } from 'node:https'
import { checkServerIdentity } from 'node:tls'
import { z } from 'zod'
import { label } from '../../../src/domain/names.ts'
import type { Site } from './site.ts'

export interface EtcdMemberPlace {
  readonly container: string
  readonly isRunning: boolean
  readonly host: string
  readonly clientPort: number
}

const limitMs = 2_000
const engineLimitMs = 30_000
const seenSchema = z.object({
  State: z.object({ Running: z.boolean() }),
  HostConfig: z.object({ PortBindings: z.object({ '2379/tcp': z.array(z.object({ HostIp: z.string(), HostPort: z.coerce.number() })).length(1) }) }),
})
const statusSchema = z.object({ header: z.object({ member_id: z.string() }), leader: z.string().default('0') })

/** Sorted by name. */
export async function etcdPlaces({ engine, docker, config }: Site): Promise<readonly EtcdMemberPlace[]> {
  const found = await engine.listContainers({ [label.installation]: config.installation, [label.kind]: 'etcd' }, AbortSignal.timeout(engineLimitMs))
  return Promise.all(found.toSorted((left, right) => (left.name < right.name ? -1 : 1)).map(async ({ id, name }) => {
    const { State, HostConfig: { PortBindings } } = seenSchema.parse(await docker.getContainer(id).inspect())
    const [binding] = PortBindings['2379/tcp']
    if (binding === undefined) throw new Error(`${name} publishes no port for clients`)
    return { container: name, isRunning: State.Running, host: binding.HostIp, clientPort: binding.HostPort }
  }))
}

export async function etcdLeader(site: Site): Promise<EtcdMemberPlace> {
  const places = (await etcdPlaces(site)).filter(({ isRunning }) => isRunning)
  const leads = await Promise.all(places.map((place) => isLeader(site, place).catch(() => false)))
  const leader = places.find((_, index) => leads[index] === true)
  if (leader === undefined) throw new Error('no member of etcd says that it leads')
  return leader
}

async function isLeader({ ca, superuser }: Site, { host, clientPort }: EtcdMemberPlace): Promise<boolean> {
  const text = await new Promise<string>((resolve, reject) => {
    const asked = request({
      host, port: clientPort, path: '/v3/maintenance/status', method: 'POST', timeout: limitMs, agent: false,
      ca, cert: superuser.certificatePem, key: superuser.keyPem.reveal(),
      // by its address, which is in the certificate, or by a name that only the product knows
      checkServerIdentity: (_name, certificate) => (certificate.subjectaltname === undefined ? checkServerIdentity(host, certificate) : undefined),
    }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part)).on('end', () => resolve(Buffer.concat(parts).toString('utf8'))).on('error', reject)
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${limitMs} ms`))).on('error', reject).end('{}')
  })
  const { header, leader } = statusSchema.parse(JSON.parse(text))
  return header.member_id === leader
}
