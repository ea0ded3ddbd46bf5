/**
 * One process of this machine at a time. The kernel's lock, through flock(1): it goes when its holder ends, however that ends,
 * so that nothing stale is ever left behind.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const waitSeconds = 600

export async function withProcessLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  // `cat` ends when our end of its input closes: at the end of the work, or when this process dies.
  const holder = spawn('flock', ['--wait', String(waitSeconds), path, 'sh', '-c', 'echo locked; cat'], {
    stdio: ['pipe', 'pipe', 'ignore'], signal,
  })
  const ended = new Promise<never>((_resolve, reject) => {
    holder.once('error', reject)
    holder.once('exit', () => reject(new Error(`another process has held ${path} for ${waitSeconds} seconds`)))
  })
  ended.catch(() => undefined)
  try {
    await Promise.race([once(holder.stdout, 'data'), ended])
    return await work()
  } finally {
    holder.stdin.end()
  }
}
