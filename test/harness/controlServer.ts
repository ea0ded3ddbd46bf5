/**
 * One throwaway PostgreSQL server for all test files of a run, in memory, in a container of the image that the product
 * uses. It ends by itself when nobody has been connected for a while, so that nothing is left behind even by a run that
 * was killed. `HOLDFAST_TEST_DATABASE_URL` (a superuser's URL) names another server to use instead.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type Docker from 'dockerode'
import pg from 'pg'
import pRetry from 'p-retry'
import { withProcessLock } from '../../src/bootstrap/processLock.ts'
import { label } from '../../src/domain/names.ts'
import { openTestEngine } from '../e2e/testEngine.ts'
import { testRun } from './testRun.ts'


const installation = `hfcontrol-${testRun}`
/** Processes of one run share it. */
const containerName = installation
const setUpMs = 10 * 60_000
const port = '5432/tcp'

/** URL of the server's database `postgres`, for a superuser. */
export async function controlServer(): Promise<URL> {
  const given = process.env['HOLDFAST_TEST_DATABASE_URL']
  if (given !== undefined) return new URL(given)
  const engine = await openTestEngine(installation)
  const running = await urlOfRunning(engine.docker)
  if (running !== null) return running
  return withProcessLock(join(tmpdir(), `${installation}.lock`), AbortSignal.timeout(setUpMs), async () => {
    const meanwhile = await urlOfRunning(engine.docker)
    if (meanwhile !== null) return meanwhile
    return start(engine.docker, await engine.image('postgres'))
  })
}

async function urlOfRunning(docker: Docker): Promise<URL | null> {
  const seen = await docker.getContainer(containerName).inspect().catch(() => null)
  const hostPort = seen?.State.Running === true ? seen.NetworkSettings.Ports[port]?.[0]?.HostPort : undefined
  if (hostPort === undefined) return null
  const url = new URL(`postgres://postgres@127.0.0.1:${hostPort}/postgres`)
  return (await answers(url)) ? url : null
}

async function start(docker: Docker, image: string): Promise<URL> {
  // one that has just ended may still be on its way out under the same name
  const container = await pRetry(() => docker.createContainer(specification(image)), { retries: 20, minTimeout: 100, maxTimeout: 500 })
  // one that never ran is not removed by the engine itself
  await container.start().catch(async (error: unknown) => {
    await container.remove({ force: true }).catch(() => undefined)
    throw error
  })
  return pRetry(async () => {
    const url = await urlOfRunning(docker)
    if (url === null) throw new Error(`the container ${containerName} does not answer yet`)
    return url
  }, { retries: 200, minTimeout: 50, maxTimeout: 150, factor: 1 })
}

function specification(image: string): Docker.ContainerCreateOptions {
  return {
    name: containerName,
    Image: image,
    Entrypoint: ['/bin/sh', '-c', script],
    Cmd: [],
    Labels: { [label.installation]: installation, [label.run]: testRun },
    ExposedPorts: { [port]: {} },
    HostConfig: {
      AutoRemove: true,
      PortBindings: { [port]: [{ HostIp: '127.0.0.1', HostPort: '' }] },
      Tmpfs: { '/pg': 'rw,uid=5432,gid=5432,mode=0700', '/tmp': 'rw,uid=5432,gid=5432' },
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
    },
  }
}

/** Ends after some minutes without a client: longer than one suite of a run leaves it to the next. */
const script = String.raw`
set -eu
initdb --pgdata /pg/data --username postgres --auth trust --no-sync --encoding UTF8 --locale C.UTF-8 >/dev/null
# roles of customers log in as they would in a member: by their password
printf '%s\n' 'local all all trust' 'host all "/_[0-9]+$" all scram-sha-256' 'host all all all trust' > /pg/data/pg_hba.conf
postgres -D /pg/data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=300 -c shared_buffers=64MB \
  -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off -c log_min_messages=fatal &
server=$!
trap 'kill -QUIT $server' INT TERM
idle=0
while [ $idle -lt 100 ] && kill -0 $server 2>/dev/null; do
  sleep 3
  clients=$(psql -h /tmp -U postgres -AtXc "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()" || echo 1)
  if [ "$clients" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
done
kill -QUIT $server
wait $server || true
`

async function answers(url: URL): Promise<boolean> {
  const client = new pg.Client({ connectionString: url.href, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Another way to the same server: its program files, for `pg_dump`. */
export async function runOnServer(command: readonly string[]): Promise<string> {
  const { docker } = await openTestEngine(installation)
  const exec = await docker.getContainer(containerName).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, Tty: true })
  const stream = await exec.start({ Tty: true })
  const output = await text(stream)
  const { ExitCode } = await exec.inspect()
  if (ExitCode !== 0) throw new Error(`${command.join(' ')} ended with ${String(ExitCode)}: ${output}`)
  return output
}
