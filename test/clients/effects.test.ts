/** What clients tell of their effects: each once it is done, by the same words for whatever it is done to, and nothing of looks. */
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connectEngine } from '../../src/clients/docker.ts'

test('an engine’s client tells what it changed, after it was changed, and nothing that it only looked at or was refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'hf-effects-'))
  t.after(() => rm(folder, { recursive: true }))
  const order: unknown[] = []
  const server = createServer(({ method = '', url = '' }, response) => {
    if (method !== 'GET') order.push(`${method} ${url.split('?')[0]}`)
    if (method === 'GET') response.writeHead(200, { 'content-type': 'application/json' }).end('[]')
    else response.writeHead(url.includes('refused') ? 404 : 204).end()
  })
  server.listen(join(folder, 'engine.sock'))
  await once(server, 'listening')
  t.after(() => { server.closeAllConnections(); server.close() })
  const listener = (message: unknown): void => void order.push(message)
  subscribe('holdfast:effect', listener)
  t.after(() => unsubscribe('holdfast:effect', listener))

  const engine = connectEngine({ engine: `unix://${join(folder, 'engine.sock')}` })
  const signal = AbortSignal.timeout(10_000)
  await engine.listContainers({}, signal)
  await engine.startContainer('one', signal)
  await engine.stopContainer('refused', 1, signal)
  await engine.removeContainer('other', { force: false }, signal)
  assert.deepEqual(order, [
    'POST /containers/one/start', { on: 'docker', what: 'POST /containers/{id}/start' },
    'POST /containers/refused/stop',
    'DELETE /containers/other', { on: 'docker', what: 'DELETE /containers/{id}' },
  ])
})
