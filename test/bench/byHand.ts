/** What anybody could do by hand: a container of the same image, a cluster in it, a first query. Nothing can be faster. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { firstAnswer } from './database.ts'

const execute = promisify(execFile)
const timeoutMs = 60_000
const script = 'initdb -D /data/pg -U postgres --auth=trust --data-checksums && exec postgres -D /data/pg -c listen_addresses=* -c unix_socket_directories=/tmp'
const allowAll = 'echo "host all all all trust" >>/data/pg/pg_hba.conf'

/** Milliseconds from `docker run` to the answer. The name tells whose it is; a container of it that is left over goes first. */
export async function startByHand(image: string, name: string, hostPort: number): Promise<number> {
  await remove(name)
  const started = performance.now()
  try {
    const run = ['run', '--detach', '--name', name, '--publish', `127.0.0.1:${hostPort}:5432`, '--volume', '/data', '--entrypoint', 'sh', image]
    await docker([...run, '-c', script.replace(' && ', ` && ${allowAll} && `)])
    await firstAnswer({ host: '127.0.0.1', port: hostPort, user: 'postgres', database: 'postgres' })
    return performance.now() - started
  } finally {
    await remove(name)
  }
}

async function remove(name: string): Promise<void> {
  await docker(['rm', '--force', '--volumes', name]).catch(() => undefined)
}

export async function docker(argv: readonly string[]): Promise<string> {
  const { stdout } = await execute('docker', argv, { timeout: timeoutMs })
  return stdout.trim()
}
