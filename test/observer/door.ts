/** A way to the engine that a test can shut: what goes through is cut, what comes is turned away. */
import { randomBytes } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Door {
  /** The engine's address through it. */
  readonly engine: string
  open(): void
  shut(): void
  close(): Promise<void>
}

export async function openDoor(engine: string): Promise<Door> {
  const path = join(tmpdir(), `hf-door-${randomBytes(4).toString('hex')}.sock`)
  const passing = new Set<Socket>()
  let isOpen = true
  const server = createServer((socket) => {
    if (!isOpen) {
      socket.destroy()
      return
    }
    const onward = connectTo(engine)
    for (const [end, other] of [[socket, onward], [onward, socket]] as const) {
      passing.add(end)
      end.on('error', () => other.destroy())
      end.on('close', () => {
        passing.delete(end)
        other.destroy()
      })
      end.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const shut = (): void => {
    isOpen = false
    for (const socket of passing) socket.destroy()
  }
  return {
    engine: `unix://${path}`,
    open: () => { isOpen = true },
    shut,
    close: async () => {
      shut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function connectTo(engine: string): Socket {
  if (engine.startsWith('unix://')) return connect(engine.slice('unix://'.length))
  const { hostname, port } = new URL(engine)
  return connect(Number(port), hostname)
}
