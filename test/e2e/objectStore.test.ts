/** The embedded S3 store on the real engine: made once, quick afterwards, and what it survives. */
import { CreateMultipartUploadCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3'
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { engineInfo } from '../../src/bootstrap/engine.ts'
import { ensureObjectStore, type EnsureObjectStoreOptions } from '../../src/bootstrap/objectStore.ts'
import { connectObjectStore, type ObjectStore, type S3Connection } from '../../src/clients/s3.ts'
import { connectionFor } from '../../src/clients/s3/connection.ts'
import { internalName } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createAuthority, type Authority } from '../../src/pki/authority.ts'
import { issueCertificate } from '../../src/pki/certificate.ts'
import { openTestEngine, type TestEngine } from './testEngine.ts'

const installation = 'hfte2estore'
const bucket = `${installation}-backups`
const container = `${installation}-objectstore`
const hourMs = 3_600_000
const secret = 'a-secret-that-nobody-may-see-7f3a'
const signal = (): AbortSignal => AbortSignal.timeout(170_000)

describe('the embedded object store', () => {
  let tools: TestEngine
  let authority: Authority
  let options: EnsureObjectStoreOptions
  let connection: S3Connection
  let store: ObjectStore

  before(async () => {
    tools = await openTestEngine(installation)
    await tools.sweep()
    authority = await createAuthority({ commonName: 'test', validityMs: hourMs, now: new Date() })
    const { privateAddress } = await engineInfo(tools, signal())
    options = {
      ...tools, image: await tools.image('objectstore'), bucket, serverName: internalName.objectStore,
      certificate: await certificate(), credentials: { accessKeyId: 'first', secretAccessKey: new Secret(secret) },
      publish: { address: privateAddress, port: await freePort(privateAddress) }, report: () => undefined, signal: signal(),
    }
    connection = await ensureObjectStore(options)
    store = connectObjectStore(connection)
  })
  after(async () => {
    store.close()
    await tools.sweep()
  })

  async function certificate(): Promise<EnsureObjectStoreOptions['certificate']> {
    const { certPem, keyPem } = await issueCertificate(authority, {
      commonName: internalName.objectStore, dnsNames: [internalName.objectStore], ipAddresses: [], usages: 'server', validityMs: hourMs, now: new Date(),
    })
    return { certPem, keyPem, caPem: authority.certPem }
  }
  const ensureAgain = (changes: Partial<EnsureObjectStoreOptions> = {}): Promise<S3Connection> => {
    options = { ...options, ...changes, signal: signal() }
    return ensureObjectStore(options)
  }
  const startedAt = async (): Promise<string> => (await tools.docker.getContainer(container).inspect()).State.StartedAt

  test('keeps objects and shows them as they are', async () => {
    await store.putObject(bucket, 'a/one', 'hello', signal())
    assert.equal((await store.getObject(bucket, 'a/one', 100, signal()))?.toString(), 'hello')
    const head = await store.headObject(bucket, 'a/one', signal())
    assert.deepEqual({ key: head?.key, sizeBytes: head?.sizeBytes }, { key: 'a/one', sizeBytes: 5 })
    assert.equal(await store.headObject(bucket, 'a/two', signal()), null)
    await assert.rejects(store.getObject(bucket, 'a/one', 4, signal()), { code: 'PayloadTooLarge' })
  })

  test('a second run finds it done, without a restart', async (t) => {
    const before = await startedAt()
    const began = performance.now()
    await ensureAgain()
    t.diagnostic(`${Math.round(performance.now() - began)} ms`)
    assert.equal(await startedAt(), before)
  })

  test('deletes a prefix whole, unfinished uploads and old versions too, and nothing beside it', async () => {
    const sdk = new S3Client(connectionFor(connection))
    try {
      await Promise.all(Array.from({ length: 30 }, (_, at) => store.putObject(bucket, `gone/${at}`, 'x', signal())))
      await sdk.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }))
      await store.putObject(bucket, 'gone/0', 'newer', signal())
      await store.putObject(bucket, 'gone-not/0', 'stays', signal())
      await sdk.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: 'gone/upload' }))
      assert.deepEqual(await store.deletePrefix(bucket, 'gone/', signal()), { objects: 31, uploads: 1 })
      assert.deepEqual(await store.deletePrefix(bucket, 'gone/', signal()), { objects: 0, uploads: 0 })
      assert.equal((await store.getObject(bucket, 'gone-not/0', 100, signal()))?.toString(), 'stays')
      await sdk.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Suspended' } }))
    } finally {
      sdk.destroy()
    }
  })

  test('runs as nobody special: no root, no capability, a read-only root, and no secret in its environment or arguments', async () => {
    const details = await tools.docker.getContainer(container).inspect()
    assert.equal(details.Config.User, '5432:5432')
    assert.deepEqual(details.HostConfig.CapDrop, ['ALL'])
    assert.equal(details.HostConfig.ReadonlyRootfs, true)
    assert.ok(!JSON.stringify(details).includes(secret))
    const processes = await tools.engine.exec(container, ['sh', '-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"; id -u'], {}, signal())
    assert.match(processes.stdout, /radosgw[^]*\n5432\n$/)
    assert.ok(!processes.stdout.includes(secret))
    assert.ok(!(await tools.engine.logs(container, { tail: 10_000 }, signal())).includes(secret))
  })

  test('refuses a wrong secret and a certificate that is not of the given authority', async () => {
    const stranger = connectObjectStore({ ...connection, secretAccessKey: new Secret('wrong') })
    await assert.rejects(stranger.headObject(bucket, 'a/one', signal()), { code: 'ObjectStoreUnavailable' })
    stranger.close()
    const other = await createAuthority({ commonName: 'other', validityMs: hourMs, now: new Date() })
    const misled = connectObjectStore({ ...connection, caPem: other.certPem })
    await assert.rejects(misled.headObject(bucket, 'a/one', signal()), { code: 'ObjectStoreUnavailable' })
    misled.close()
  })

  test('takes a renewed certificate without a restart of the container', async () => {
    const before = await startedAt()
    const renewed = await certificate()
    await ensureAgain({ certificate: renewed })
    const deadline = Date.now() + 20_000
    while ((await servedCertificate()) !== renewed.certPem.trim()) assert.ok(Date.now() < deadline, 'the old certificate is still served')
    assert.equal(await startedAt(), before)
    assert.equal((await store.getObject(bucket, 'a/one', 100, signal()))?.toString(), 'hello')
  })

  test('keeps every object through a stop, a kill and a container made anew', async () => {
    const { id } = await tools.engine.inspectContainer(container, signal())
    await tools.engine.stopContainer(id, 60, signal())
    assert.equal((await tools.docker.getContainer(container).inspect()).State.ExitCode, 0)
    await ensureAgain()
    await store.putObject(bucket, 'a/before-kill', 'acknowledged', signal())
    await tools.engine.killContainer(id, 'SIGKILL', signal())
    await ensureAgain()
    assert.equal((await store.getObject(bucket, 'a/before-kill', 100, signal()))?.toString(), 'acknowledged')
    await tools.engine.removeContainer(id, { force: true }, signal())
    await ensureAgain()
    assert.equal((await store.getObject(bucket, 'a/one', 100, signal()))?.toString(), 'hello')
  })

  test('takes new credentials, and the old ones end', async () => {
    connection = await ensureAgain({ credentials: { accessKeyId: 'second', secretAccessKey: new Secret('another-secret') } })
    await assert.rejects(store.headObject(bucket, 'a/one', signal()), { code: 'ObjectStoreUnavailable' })
    store.close()
    store = connectObjectStore(connection)
    assert.equal((await store.getObject(bucket, 'a/one', 100, signal()))?.toString(), 'hello')
  })

  /** Null while nobody listens: the gateway is away for half a second. */
  function servedCertificate(): Promise<string | null> {
    return new Promise((resolve) => {
      const { address: host, port } = options.publish
      const socket = connect({ host, port, servername: internalName.objectStore, ca: authority.certPem }, () => {
        resolve(socket.getPeerX509Certificate()?.toString().trim() ?? null)
        socket.destroy()
      })
      socket.once('error', () => setTimeout(() => resolve(null), 50))
    })
  }
})

function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, address, () => {
      const bound = server.address()
      server.close(() => (typeof bound === 'object' && bound !== null ? resolve(bound.port) : reject(new Error('no port'))))
    })
  })
}
