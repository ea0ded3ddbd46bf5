/**
 * The service that the end-to-end tests of one run share (test/harness/serviceHost.ts): a process that starts it, says where it
 * is, and takes it down when its standard input ends, which is also what happens when this process dies.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface TestServiceProcess {
  /** For the tests' environment. */
  readonly description: string
  /** Resolves when everything of it is gone; false: it could not be taken down in order. */
  stop(): Promise<boolean>
}

export async function startTestService(root: string): Promise<TestServiceProcess | null> {
  const child = spawn(process.execPath, ['test/harness/serviceHost.ts'], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close').then(([code]: unknown[]) => code === 0, () => false)
  const lines = createInterface(child.stdout)
  const first = await Promise.race([once(lines, 'line').then(([line]: unknown[]) => String(line)), closed.then(() => null)])
  if (first === null) return null
  return {
    description: first,
    async stop() {
      child.stdin.end()
      return closed
    },
  }
}
