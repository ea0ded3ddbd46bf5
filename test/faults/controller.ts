/**
 * Controllers as processes that a test may kill and freeze. Each is the product's own program with the settings of the test's
 * service; what it says goes to a file, in which a test finds the moment to strike.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { root } from '../harness/command.ts'

export interface ControllerOptions {
  readonly settings: Readonly<Record<string, string>>
  readonly stateDir: string
  /** Of its log; one that is started again goes on in the same file. */
  readonly name: string
  /** The one that `down` stops, should this test die. */
  readonly isMain: boolean
  /** A group of its own, by which the machine's firewall knows what it sends. */
  readonly gid?: number
}

export interface Controller {
  readonly log: ControllerLog
  readonly gid: number | null
  start(): Promise<void>
  /** SIGKILL; resolves when it is dead. */
  kill(): Promise<void>
  /** SIGSTOP: it lives, holds its leases and connections, and does nothing. */
  freeze(): void
  thaw(): void
  isRunning(): boolean
}

const lineSchema = z.looseObject({
  msg: z.string(), level: z.string(), databaseId: z.string().optional(), action: z.string().optional(), outcome: z.string().optional(),
})
export type LogLine = z.infer<typeof lineSchema>

export function createController({ settings, stateDir, name, isMain, gid }: ControllerOptions): Controller {
  const file = join(stateDir, `${name}.log`)
  const log = new ControllerLog(file)
  let child: ChildProcess | null = null
  const running = (): ChildProcess => {
    if (child === null) throw new Error(`the controller ${name} does not run`)
    return child
  }
  return {
    log,
    gid: gid ?? null,
    async start() {
      const out = await open(file, 'a', 0o600)
      const own = Object.entries(process.env).filter(([variable]) => !variable.startsWith('HOLDFAST_') && variable !== 'NODE_TEST_CONTEXT')
      child = spawn(process.execPath, [join(root, 'src/main.ts')], {
        cwd: root, stdio: ['ignore', out.fd, out.fd], env: { ...Object.fromEntries(own), ...settings }, ...(gid !== undefined && { gid }),
      })
      await out.close()
      // as `up` writes it, so that `down` finds the one that runs now
      if (isMain) await writeFile(join(stateDir, 'controller.json'), JSON.stringify({ pid: child.pid, revision: 'test' }), { mode: 0o600 })
    },
    async kill() {
      const dying = running()
      child = null
      if (dying.exitCode !== null || dying.signalCode !== null) return
      const ended = once(dying, 'exit')
      dying.kill('SIGKILL')
      await ended
    },
    freeze: () => void running().kill('SIGSTOP'),
    thaw: () => void running().kill('SIGCONT'),
    isRunning: () => child !== null && child.exitCode === null && child.signalCode === null,
  }
}

/** A strike has to come within milliseconds of what it is aimed at. */
const lookMs = 2
const chunkBytes = 256 * 1024

/** Reads on where it stopped. */
export class ControllerLog {
  readonly lines: LogLine[] = []
  readonly #file: string
  #handle: FileHandle | null = null
  #position = 0
  #rest = ''

  constructor(file: string) {
    this.#file = file
  }

  async read(): Promise<void> {
    this.#handle ??= await open(this.#file, 'r')
    const buffer = Buffer.alloc(chunkBytes)
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, chunkBytes, this.#position)
      if (bytesRead === 0) return
      this.#position += bytesRead
      const parts = (this.#rest + buffer.toString('utf8', 0, bytesRead)).split('\n')
      this.#rest = parts.pop() ?? ''
      for (const part of parts) this.#add(part)
    }
  }

  /** Resolves with true at the `count`-th line from now on that fits, with false when `signal` ends the wait. */
  async reached(count: number, fits: (line: LogLine) => boolean, signal: AbortSignal): Promise<boolean> {
    await this.read()
    let next = this.lines.length
    let seen = 0
    while (!signal.aborted) {
      await this.read()
      for (; next < this.lines.length; next++) {
        const line = this.lines[next]
        if (line !== undefined && fits(line) && ++seen === count) return true
      }
      await sleep(lookMs)
    }
    return false
  }

  async close(): Promise<void> {
    await this.#handle?.close()
    this.#handle = null
  }

  /** What is no line of the logger, such as a crash of Node itself, counts as fatal. */
  #add(text: string): void {
    const line = lineSchema.safeParse(parse(text))
    this.lines.push(line.success ? line.data : { msg: text, level: 'fatal' })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // a line cut off by a kill
    return null
  }
}
