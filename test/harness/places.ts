/** Where a whole service for tests lives: an installation id, ports and addresses that nothing on this machine uses. */
import { randomBytes, randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import type Docker from 'dockerode'
import { z } from 'zod'
import { testRun } from './testRun.ts'

export interface Places {
  readonly installation: string
  readonly stateDir: string
  /** `HOLDFAST_…`, as a process of the service needs it. */
  readonly settings: Readonly<Record<string, string>>
}

/** Below the range from which kernels take ports for outgoing connections. */
const firstBase = 10_000
const lastBase = 19_800
const portsNeeded = 200
const attempts = 50

export async function findPlaces(docker: Docker, folder: string): Promise<Places> {
  const installation = `hft${randomBytes(3).toString('hex')}`
  const stateDir = `${folder}/state`
  const base = await freePorts()
  const settings = {
    HOLDFAST_INSTALLATION: installation, HOLDFAST_STATE_DIR: stateDir, HOLDFAST_RUN_LABEL: `${testRun}.${installation}`,
    HOLDFAST_API_PORT: String(base), HOLDFAST_ENDPOINT_PORT_RANGE: `${base + 1}-${base + 99}`, HOLDFAST_INTERNAL_PORT_RANGE: `${base + 100}-${base + 199}`,
    HOLDFAST_NETWORK_POOL_CIDR: await freeAddresses(docker), HOLDFAST_LOG_LEVEL: 'debug',
  }
  return { installation, stateDir, settings }
}

async function freePorts(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const base = randomInt(firstBase / portsNeeded, lastBase / portsNeeded) * portsNeeded
    const ports = Array.from({ length: portsNeeded }, (_, index) => base + index)
    const free = await Promise.all(ports.map(isFree))
    if (!free.includes(false)) return base
  }
  throw new Error(`no ${portsNeeded} neighbouring ports are free on this machine`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)))
  })
}

const networksSchema = z.array(z.object({ IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() }) }))

async function freeAddresses(docker: Docker): Promise<string> {
  const networks = networksSchema.parse(await docker.listNetworks())
  const taken = networks.flatMap(({ IPAM }) => (IPAM.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []))
  for (let attempt = 0; attempt < attempts; attempt++) {
    const prefix = `10.${randomInt(64, 128)}.${randomInt(0, 16) * 16}`
    const second = prefix.split('.').slice(0, 2).join('.')
    if (!taken.some((subnet) => subnet.startsWith(`${second}.`))) return `${prefix}.0/20`
  }
  throw new Error('no range of addresses is free on this engine')
}
