import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { createAuthority, trustBundle, type Authority } from '../../src/pki/authority.ts'
import { issueCertificate, type IssuedCertificate } from '../../src/pki/certificate.ts'
import { announceSuccessor, needsSuccessor, retire, soleAuthority, switchTo } from '../../src/pki/rollover.ts'
import { certificateFacts } from '../../src/pki/x509.ts'

const dayMs = 86_400_000
const handshakeTimeoutMs = 5_000
const now = new Date()
const later = (days: number): Date => new Date(now.getTime() + days * dayMs)
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
  const before = soleAuthority(old)
  const announced = announceSuccessor(before, next)
  const switched = switchTo(announced, next.fingerprint)
  const retired = retire(switched, new Set([next.subjectKeyId]), now)
  const steps = Object.entries({ before, announced, switched, retired })
  const peers: readonly Peer[] = await Promise.all(
    steps.map(async ([name, { trusted, signing }]) => ({ trusts: trusted, shows: await issue(signing, name) })),
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

test('a successor is due after two thirds of the life, once', async () => {
  const sole = soleAuthority(await create(now))
  assert.equal(needsSuccessor(sole, later(19)), false)
  assert.equal(needsSuccessor(sole, later(21)), true)
  assert.equal(needsSuccessor(announceSuccessor(sole, await create(later(21))), later(22)), false)
})

test('an authority that was not announced never signs', async () => {
  const [old, next] = [await create(now), await create(now)]
  assert.throws(() => switchTo(soleAuthority(old), next.fingerprint), { code: 'CertificateInvalid' })
})

test('an old authority stays trusted while one of its certificates is in use, and goes when it has expired', async () => {
  const [old, next] = [await create(now), await create(later(21))]
  const switched = switchTo(announceSuccessor(soleAuthority(old), next), next.fingerprint)
  assert.deepEqual(retire(switched, new Set([old.subjectKeyId]), later(22)).trusted, [old, next])
  assert.deepEqual(retire(switched, new Set(), later(22)).trusted, [next])
  assert.deepEqual(retire(switched, new Set([old.subjectKeyId]), later(31)).trusted, [next])
})

test('a successor that is announced but not signing yet is never retired', async () => {
  const [old, next] = [await create(now), await create(later(21))]
  const announced = announceSuccessor(soleAuthority(old), next)
  assert.deepEqual(retire(announced, new Set(), later(22)).trusted, [old, next])
})
