/** A door in front of an engine: hands everything through unchanged, and notes which requests came when. */
import { rm } from 'node:fs/promises'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Call {
  readonly method: string
  readonly path: string
  /** Of `performance.now()`. */
  readonly at: number
}

export interface EngineDoor {
  /** For DOCKER_HOST. */
  readonly address: string
  /** All calls since the last time it was asked. */
  take(): Call[]
  /** The first call of this kind from now on. */
  next(method: string, path: RegExp, limitMs: number): Promise<Call>
  close(): Promise<void>
}

/** A client writes the head of a request at once, so it stands at the beginning of a chunk. */
const head = /^(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP\/1\.1\r\n/

export async function openEngineDoor(enginePath: string, name: string): Promise<EngineDoor> {
  const path = join(tmpdir(), `${name}-${process.pid}.sock`)
  const sockets = new Set<Socket>()
  const watchers = new Set<(call: Call) => void>()
  let calls: Call[] = []
  const note = (chunk: Buffer): void => {
    const [, method, target] = head.exec(chunk.toString('latin1', 0, 2_048)) ?? []
    if (method === undefined || target === undefined) return
    const call = { method, path: target, at: performance.now() }
    calls.push(call)
    for (const watch of watchers) watch(call)
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: enginePath, allowHalfOpen: true })
    client.on('data', note)
    for (const [from, to] of [[client, engine], [engine, client]] as const) {
      sockets.add(from)
      from.on('close', () => sockets.delete(from)).on('error', () => to.destroy()).pipe(to)
    }
  })
  await rm(path, { force: true })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  return {
    address: `unix://${path}`,
    take() {
      const taken = calls
      calls = []
      return taken
    },
    next: (method, pattern, limitMs) => new Promise((resolve, reject) => {
      const end = (): void => {
        watchers.delete(watch)
        clearTimeout(timer)
      }
      const watch = (call: Call): void => {
        if (call.method !== method || !pattern.test(call.path)) return
        end()
        resolve(call)
      }
      const timer = setTimeout(() => {
        end()
        reject(new Error(`no call ${method} ${pattern.source} within ${limitMs} ms`))
      }, limitMs)
      watchers.add(watch)
    }),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
