import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { createAuthority, trustBundle, type Authority } from '../../src/pki/authority.ts'
import { issueCertificate, type IssuedCertificate } from '../../src/pki/certificate.ts'
import { certificateFacts } from '../../src/pki/x509.ts'

const dayMs = 86_400_000
const handshakeTimeoutMs = 5_000
const now = new Date()
const create = (at: Date) => createAuthority({ commonName: 'Holdfast test CA', validityMs: 30 * dayMs, now: at })
const issue = (authority: Authority, commonName: string) =>
  issueCertificate(authority, { commonName, dnsNames: ['localhost'], usages: 'both', validityMs: dayMs, now })

interface Peer {
  readonly trusts: readonly Authority[]
  readonly shows: IssuedCertificate
}

/** A mutual TLS handshake: who the server saw, or why one side hung up. */
async function handshake(server: Peer, client: Peer): Promise<string> {
  const options = ({ trusts, shows }: Peer) => ({ ca: trustBundle(trusts), cert: shows.certPem, key: shows.keyPem.reveal() })
  const listener = createServer({ ...options(server), requestCert: true, rejectUnauthorized: true }, (socket: TLSSocket) => {
    socket.end(String(socket.getPeerCertificate().subject.CN))
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  try {
    const address = listener.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const socket = connect({ ...options(client), host: '127.0.0.1', port, servername: 'localhost', timeout: handshakeTimeoutMs })
    socket.once('timeout', () => socket.destroy(new Error('the handshake timed out')))
    let seen = ''
    for await (const chunk of socket) seen += String(chunk)
    return seen
  } catch (error) {
    return `refused: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    listener.close()
  }
}

test('through a whole roll-over every pair of neighbouring steps can talk, in both directions', async () => {
  const [old, next] = [await create(now), await create(now)]
  const steps = {
    before: { signing: old, trusts: [old] },
    announced: { signing: old, trusts: [old, next] },
    switched: { signing: next, trusts: [old, next] },
    retired: { signing: next, trusts: [next] },
  }
  const peers: readonly Peer[] = await Promise.all(
    Object.entries(steps).map(async ([name, { signing, trusts }]) => ({ trusts, shows: await issue(signing, name) })),
  )
  for (const [index, peer] of peers.entries()) {
    const neighbour = peers[index + 1]
    if (neighbour === undefined) break
    const names = [peer, neighbour].map(({ shows }) => certificateFacts(shows.certPem).commonName)
    assert.deepEqual([await handshake(neighbour, peer), await handshake(peer, neighbour)], names)
  }
})

test('a peer that trusts the old root only refuses what the new one signs', async () => {
  const [old, next] = [await create(now), await create(now)]
  const stale: Peer = { trusts: [old], shows: await issue(old, 'stale') }
  const early: Peer = { trusts: [old, next], shows: await issue(next, 'early') }
  assert.match(await handshake(early, stale), /^refused: /)
  assert.match(await handshake(stale, early), /^refused: |^$/)
})
