/** The S3 client against a server of this process: how answers become values and errors. The real store is in test/e2e. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { test, type TestContext } from 'node:test'
import { connectObjectStore, type ObjectStore } from '../../src/clients/s3.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createAuthority, trustBundle } from '../../src/pki/authority.ts'
import { issueCertificate } from '../../src/pki/certificate.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)

async function storeThat(t: TestContext, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<ObjectStore> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const store = connectObjectStore({
    endpoint: `http://127.0.0.1:${address.port}`, region: 'us-east-1', accessKeyId: 'key', secretAccessKey: new Secret('not to be shown'), forcePathStyle: true,
  })
  t.after(() => {
    store.close()
    server.closeAllConnections()
    server.close()
  })
  return store
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code><Message>m</Message></Error>`)
}

test('what is not there is null', async (t) => {
  const store = await storeThat(t, (_request, response) => refuse(response, 404, 'NoSuchKey'))
  assert.equal(await store.headObject('b', 'k', signal()), null)
  assert.equal(await store.getObject('b', 'k', 10, signal()), null)
})

test('a refused key is an unavailable store that says what to look at, without the secret', async (t) => {
  const store = await storeThat(t, (_request, response) => refuse(response, 403, 'SignatureDoesNotMatch'))
  await assert.rejects(store.putObject('b', 'k', 'x', signal()), (error: Error & { code?: string; next?: string }) => {
    assert.equal(error.code, 'ObjectStoreUnavailable')
    assert.match(error.message, /SignatureDoesNotMatch/)
    assert.match(error.next ?? '', /access key/)
    assert.doesNotMatch(JSON.stringify(error) + error.stack, /not to be shown/)
    return true
  })
})

test('a store that cannot be reached is unavailable', async () => {
  const store = connectObjectStore({ endpoint: 'http://127.0.0.1:1', region: 'us-east-1', accessKeyId: 'k', secretAccessKey: new Secret('s'), forcePathStyle: true })
  await assert.rejects(store.headObject('b', 'k', signal()), { code: 'ObjectStoreUnavailable', message: /cannot be reached/ })
  store.close()
})

test('the caller’s signal ends a call with the caller’s reason', async (t) => {
  const store = await storeThat(t, () => undefined)
  const caller = new AbortController()
  setTimeout(() => caller.abort(new Error('enough')), 50)
  await assert.rejects(store.headObject('b', 'k', caller.signal), /enough/)
  await assert.rejects(store.headObject('b', 'k', caller.signal), /enough/)
})

test('a bucket of somebody else is a conflict; one that was just made by us is present', async (t) => {
  let code = 'BucketAlreadyExists'
  const store = await storeThat(t, (request, response) => {
    if (request.method === 'HEAD') response.writeHead(404).end()
    else refuse(response, 409, code)
  })
  await assert.rejects(store.ensureBucket('b', signal()), { code: 'ResourceConflict' })
  code = 'BucketAlreadyOwnedByYou'
  assert.equal(await store.ensureBucket('b', signal()), 'present')
})

test('a listing goes on page by page and stops asking when its reader does', async (t) => {
  const asked: string[] = []
  const store = await storeThat(t, (request, response) => {
    const token = new URL(request.url ?? '', 'http://x').searchParams.get('continuation-token') ?? 'first'
    asked.push(token)
    const entry = `<Contents><Key>p/${token}</Key><Size>5</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>"e"</ETag></Contents>`
    const more = asked.length < 3 ? `<NextContinuationToken>t${asked.length}</NextContinuationToken>` : ''
    response.writeHead(200, { 'content-type': 'application/xml' }).end(`<ListBucketResult>${entry}${more}</ListBucketResult>`)
  })
  const all: unknown[] = []
  for await (const { key, sizeBytes, etag } of store.listObjects('b', 'p/', signal())) all.push([key, sizeBytes, etag])
  assert.deepEqual(all, [['p/first', 5, 'e'], ['p/t1', 5, 'e'], ['p/t2', 5, 'e']])
  asked.length = 0
  for await (const { key } of store.listObjects('b', 'p/', signal())) {
    assert.equal(key, 'p/first')
    break
  }
  assert.deepEqual(asked, ['first'])
})

test('only a prefix that ends in a slash is ever deleted', async (t) => {
  const store = await storeThat(t, () => assert.fail('nothing may be asked'))
  for (const prefix of ['', '/', 'lineages', '/x/']) await assert.rejects(store.deletePrefix('b', prefix, signal()), RangeError)
})

test('objects that the store would not delete fail the purge by name', async (t) => {
  const store = await storeThat(t, (request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://x')
    const body = searchParams.has('delete')
      ? '<DeleteResult><Error><Key>p/locked</Key><Code>AccessDenied</Code></Error></DeleteResult>'
      : searchParams.has('list-type') ? '<ListBucketResult><Contents><Key>p/locked</Key></Contents></ListBucketResult>' : '<Result/>'
    request.resume()
    response.writeHead(200, { 'content-type': 'application/xml' }).end(body)
  })
  await assert.rejects(store.deletePrefix('b', 'p/', signal()), { code: 'ObjectStoreUnavailable', message: /p\/locked/ })
})

test('a client that is open already trusts the next authority of the store as soon as it is told', async (t) => {
  const now = new Date()
  const [old, next] = await Promise.all(['old', 'next'].map((commonName) => createAuthority({ commonName, validityMs: 3_600_000, now })))
  assert.ok(old !== undefined && next !== undefined)
  const { certPem, keyPem } = await issueCertificate(next, { commonName: 'store', dnsNames: ['store.test'], usages: 'server', validityMs: 600_000, now })
  const server = createTlsServer({ cert: certPem, key: keyPem.reveal() }, (_request, response) => refuse(response, 404, 'NoSuchKey'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  let trusted = [old]
  const store = connectObjectStore({
    endpoint: `https://store.test:${address.port}`, address: '127.0.0.1', region: 'us-east-1', accessKeyId: 'key', secretAccessKey: new Secret('secret'), forcePathStyle: true,
    get caPem() { return trustBundle(trusted) },
  })
  t.after(() => {
    store.close()
    server.closeAllConnections()
    server.close()
  })
  await assert.rejects(store.headObject('b', 'k', signal()), { code: 'ObjectStoreUnavailable' })
  trusted = [old, next]
  assert.equal(await store.headObject('b', 'k', signal()), null)
})
