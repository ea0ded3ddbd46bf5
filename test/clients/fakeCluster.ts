/** Three members that only look like it: a port that says its name, as PostgreSQL's would be, and Patroni's REST API over mutual TLS. */
import { createServer as createTcpServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { randomUUID } from 'node:crypto'
import type { Member } from '../../src/domain/desired.ts'
import { commonName, internalName, patroniName } from '../../src/domain/names.ts'
import type { Authority } from '../../src/pki/authority.ts'
import { issueFor } from '../../src/pki/issuer.ts'

export interface FakeCluster {
  readonly members: readonly Member[]
  readonly names: readonly string[]
  /** Who holds the lease, and whether it has been promoted yet. */
  state: { leader: string | null; isPromoted: boolean }
  /** Their Postgres is gone: whoever connects is taken, and let go at once, as the engine's port forwarding does. */
  readonly dead: Set<string>
  close(): void
}

interface FakeClusterOptions {
  readonly authority: Authority
  readonly hostId: string
  readonly instanceId: string
  readonly address: string
}

const lifetimeMs = 86_400_000

export async function openFakeCluster({ authority, hostId, instanceId, address }: FakeClusterOptions): Promise<FakeCluster> {
  const cluster: { state: FakeCluster['state'] } = { state: { leader: null, isPromoted: true } }
  const servers: Server[] = []
  const dead = new Set<string>()
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    // a proxy that checks breaks off as it likes
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  }
  const listen = async (server: Server): Promise<number> => {
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, address, resolve))
    return (server.address() as AddressInfo).port
  }
  const members = await Promise.all([1, 2, 3].map(async (ordinal): Promise<Member> => {
    const id = randomUUID()
    const name = patroniName(id)
    const request = { commonName: commonName.member(instanceId), names: [internalName.member(id)], usage: 'both' } as const
    const { certificatePem, keyPem } = await issueFor(authority, 'test', request, lifetimeMs, new Date())
    const postgres = createTcpServer((socket) => {
      keep(socket)
      if (dead.has(name)) socket.destroy()
      else socket.resume().write(name)
    })
    const tls = { cert: certificatePem, key: keyPem.reveal(), ca: authority.certPem, requestCert: true, rejectUnauthorized: true }
    const patroni = createTlsServer(tls, (socket) => {
      keep(socket)
      socket.once('data', (chunk: Buffer) => socket.end(answerTo(chunk.toString('latin1'), name, cluster.state)))
    })
    return { id, instanceId, hostId, ordinal, ports: { postgres: await listen(postgres), backup: 1, patroni: await listen(patroni) }, volumeBytes: null }
  }))
  return {
    dead, members, names: members.map(({ id }) => patroniName(id)),
    get state() { return cluster.state },
    set state(state) { cluster.state = state },
    close() {
      for (const socket of sockets) socket.destroy()
      for (const server of servers) server.close()
    },
  }
}

/** As Patroni 4.0.7 answers: HTTP/1.0, spaces after the colons, a body for GET only. */
function answerTo(request: string, name: string, { leader, isPromoted }: FakeCluster['state']): string {
  const [method, path] = request.split(' ')
  const leads = leader === name
  const status = leads === (path === '/primary') ? '200 OK' : '503 Service Unavailable'
  if (method === 'OPTIONS') return `HTTP/1.0 ${status}\r\n\r\n`
  const body = `{"state": "running", "postmaster_start_time": "2026-01-01 00:00:00", "role": "${leads && isPromoted ? 'primary' : 'replica'}", "server_version": 170011}`
  return `HTTP/1.0 ${status}\r\nServer: BaseHTTP/0.6 Python/3.13.5\r\nContent-Type: application/json\r\n\r\n${body}`
}

export interface Visit {
  /** Of the member; `closed` when the proxy ended it without one. */
  readonly met: string
  readonly waitedMs: number
  readonly socket: Socket
  /** Whether it has been ended since. */
  isClosed(): boolean
}

/** What PostgreSQL's clients say first. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** A client of the endpoint: connects, speaks first as PostgreSQL's clients do, and reads who is there. */
export function visit(host: string, port: number): Promise<Visit> {
  return new Promise((resolve) => {
    const began = performance.now()
    const socket = connect(port, host, () => socket.write(sslRequest))
    let closed = false
    const done = (met: string): void => resolve({ met, waitedMs: performance.now() - began, socket, isClosed: () => closed })
    socket.once('data', (chunk: Buffer) => done(chunk.toString('utf8')))
    socket.on('error', () => undefined).once('close', () => {
      closed = true
      done('closed')
    })
  })
}
