/**
 * Starting a Docker engine by hand, in mount, network and process namespaces of their own, so that the engine of this machine
 * is not touched. The kernel ends everything in them with the test.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { z } from 'zod'
import { ensureEngine } from '../../src/bootstrap/engine.ts'

const run = promisify(execFile)
const program = join(import.meta.dirname, 'engineInNamespace.ts')
const outcomeSchema = z.object({ started: z.boolean(), privateAddress: z.string() })
const limitMs = 150_000

/** Runs a script where no engine runs and the engine's folders are empty; its lines are outcomes. */
async function inNamespace(script: string): Promise<z.infer<typeof outcomeSchema>[]> {
  // On a real disk: the engine's storage driver does not work on every kind of /tmp.
  const directory = await mkdtemp('/var/lib/hf-engine-')
  const prelude = `
    set -e
    mount --make-rprivate /
    mount -t tmpfs tmpfs /run; mkdir -p /run/lock
    mkdir -p /var/lib/docker; mount --bind ${directory} /var/lib/docker
    ip link set lo up 2>/dev/null || true
    ensure() { ${process.execPath} ${program}; }
  `
  try {
    const { stdout } = await run('unshare', ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', prelude + script], { timeout: limitMs })
    return stdout.trim().split('\n').map((line) => outcomeSchema.parse(JSON.parse(line)))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function whyNot(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'only root makes these namespaces'
  // Installs the engine where there is none, as every other test here does.
  await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(10 * 60_000) })
  return access('/usr/sbin/dockerd').then(() => false, () => 'the engine of this machine is not the distribution’s')
}

describe('an engine that does not run', { skip: await whyNot() }, () => {
  test('is started once, by whichever of two processes comes first', async () => {
    const outcomes = await inNamespace('ensure & a=$!; ensure & b=$!; wait $a; wait $b; [ "$(pgrep -c dockerd)" = 1 ]')
    assert.deepEqual(outcomes.map(({ started }) => started).sort(), [false, true])
    assert.equal(outcomes[0]?.privateAddress, outcomes[1]?.privateAddress)
  })

  test('is started again after its machine stopped, though its pid files name processes of others', async () => {
    const outcomes = await inNamespace(`
      ensure
      kill -9 $(cat /var/run/docker.pid) $(cat /var/run/docker/containerd/containerd.pid)
      while pgrep -x 'dockerd|containerd' >/dev/null; do sleep 0.1; done
      sleep 300 & echo $! | tee /var/run/docker.pid > /var/run/docker/containerd/containerd.pid
      ensure
      ensure
    `)
    assert.deepEqual(outcomes.map(({ started }) => started), [true, true, false])
  })
})
