/** Stands between a pool and the server, to take the server away in every way it can go. */
import { createConnection, createServer, type Socket } from 'node:net'
import { Secret } from '../../src/domain/secret.ts'
import type { Ending } from '../harness/controlDatabase.ts'

export interface Proxy {
  readonly url: Secret
  /** `open` forwards, `refusing` ends every connection at once, `frozen` says nothing any more. */
  set(mode: 'open' | 'refusing' | 'frozen'): void
  /** Cuts the client off right after this text has gone to the server, once. */
  cutAfter(text: string): void
}

export async function startProxy(t: Ending, target: Secret): Promise<Proxy> {
  const { hostname, port } = new URL(target.reveal())
  const sockets = new Set<Socket>()
  let mode: 'open' | 'refusing' | 'frozen' = 'open'
  let fatalText: string | null = null
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => undefined)
    client.on('close', () => sockets.delete(client))
    if (mode === 'refusing') return void client.destroy()
    const upstream = createConnection({ host: hostname, port: Number(port) })
    upstream.on('error', () => client.destroy())
    upstream.on('data', (data) => mode === 'open' && client.write(data))
    upstream.on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
    client.on('data', (data) => {
      if (mode !== 'open') return
      upstream.write(data)
      if (fatalText === null || !data.includes(fatalText)) return
      fatalText = null
      // it has to reach the server, whose answer has to be lost
      upstream.removeAllListeners('data')
      upstream.once('data', () => client.destroy())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = new URL(target.reveal())
  const address = server.address()
  url.port = String(typeof address === 'object' ? address?.port : '')
  return {
    url: new Secret(url.href),
    set(next) {
      mode = next
      if (next === 'refusing') for (const socket of sockets) socket.destroy()
    },
    cutAfter(text) {
      fatalText = text
    },
  }
}
