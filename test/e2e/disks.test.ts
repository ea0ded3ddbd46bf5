/** The disks helper on the real engine: limits that hold, growth under a running writer, and what survives a restart. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { disksContainer, ensureDisks } from '../../src/bootstrap/disks.ts'
import type { ExecResult } from '../../src/clients/docker.ts'
import { label } from '../../src/domain/names.ts'
import { openTestEngine, type TestEngine } from './testEngine.ts'

const installation = 'hfte2edisks'
const mib = 1024 * 1024
const bytes = 320 * mib
const grownBytes = 640 * mib
const diskName = `${installation}-data-1`
const writerName = `${installation}-writer`
const signal = (): AbortSignal => AbortSignal.timeout(60_000)

const diskSchema = z.object({ name: z.string(), device: z.string(), sizeBytes: z.int(), created: z.boolean() })

describe('a data volume of a limited size', () => {
  let tools: TestEngine
  let image = ''

  before(async () => {
    tools = await openTestEngine(installation)
    await tools.sweep()
    image = await tools.image('disks')
    await ensureDisks({ ...tools, image, signal: signal() })
  })
  after(() => tools.sweep())

  const disk = (...argv: readonly string[]): Promise<ExecResult> =>
    tools.engine.exec(disksContainer(installation), ['disk', ...argv], {}, signal())
  const inWriter = (script: string): Promise<ExecResult> => tools.engine.exec(writerName, ['sh', '-c', script], {}, signal())
  const availableKib = async (): Promise<number> => Number((await inWriter('df -k --output=avail /data | tail -n 1')).stdout.trim())

  async function startWriter(): Promise<void> {
    const labels = { [label.installation]: installation }
    await tools.engine.createVolume({
      name: diskName, labels,
      options: { type: 'xfs', device: `/dev/holdfast/${installation}/${diskName}`, o: 'noatime,nosuid,nodev,noexec,discard' },
    }, signal())
    const { id } = await tools.docker.createContainer({
      name: writerName, Image: image, Entrypoint: ['sleep', '600'], User: '5432:5432', Labels: labels,
      HostConfig: { Binds: [`${diskName}:/data`], CapDrop: ['ALL'], NetworkMode: 'none', ReadonlyRootfs: true, Init: true },
    })
    await tools.engine.startContainer(id, signal())
  }

  test('is made', async (t) => {
    const began = performance.now()
    const made = await disk('create', diskName, String(bytes))
    t.diagnostic(`${Math.round(performance.now() - began)} ms`)
    assert.equal(made.exitCode, 0, made.stdout + made.stderr)
    const { created, sizeBytes, device } = diskSchema.parse(JSON.parse(made.stdout))
    assert.deepEqual({ created, sizeBytes, device }, { created: true, sizeBytes: bytes, device: `/dev/holdfast/${installation}/${diskName}` })
  })

  test('belongs to postgres and is never formatted again', async () => {
    await startWriter()
    const written = await inWriter('stat -c %u:%g:%a /data && echo precious > /data/row && sync')
    assert.equal(written.stdout.trim(), '5432:5432:700')
    const again = await disk('create', diskName, String(grownBytes))
    const { created, sizeBytes } = diskSchema.parse(JSON.parse(again.stdout))
    assert.deepEqual({ created, sizeBytes }, { created: false, sizeBytes: bytes })
    assert.equal((await inWriter('cat /data/row')).stdout, 'precious\n')
  })

  test('is full at its limit', async () => {
    const filled = await inWriter('dd if=/dev/zero of=/data/fill bs=1M count=400')
    assert.notEqual(filled.exitCode, 0)
    assert.match(filled.stderr, /No space left on device/)
    const { stdout } = await inWriter('stat -c %s /data/fill')
    assert.ok(Number(stdout) < bytes && Number(stdout) > bytes / 2, `${stdout.trim()} bytes fitted`)
  })

  test('grows while its container writes, and growing twice changes nothing', async () => {
    const before = await availableKib()
    const writing = inWriter('for i in $(seq 40); do dd if=/dev/zero of=/data/more bs=1M count=1 oflag=append,dsync conv=notrunc 2>/dev/null && echo ok || echo full; sleep 0.05; done')
    const first = await disk('grow', diskName, String(grownBytes))
    assert.equal(first.exitCode, 0, first.stdout + first.stderr)
    const second = await disk('grow', diskName, String(grownBytes))
    assert.equal(diskSchema.parse(JSON.parse(second.stdout)).sizeBytes, grownBytes)
    assert.ok(before < 5 * 1024, `${before} KiB were free before`)
    const outcomes = (await writing).stdout.trim().split('\n')
    assert.ok(outcomes.at(-1) === 'ok' && outcomes.filter((outcome) => outcome === 'ok').length > 10, outcomes.join(' '))
    assert.ok((await availableKib()) > 200 * 1024)
  })

  test('cannot shrink, and cannot be removed while it is mounted', async () => {
    assert.match((await disk('grow', diskName, String(bytes))).stdout, /"error":"CannotShrink"/)
    assert.match((await disk('remove', diskName)).stdout, /"error":"DiskBusy"/)
    assert.equal((await inWriter('cat /data/row')).stdout, 'precious\n')
  })

  test('stays mounted when the helper is restarted, and when the helper is made anew', async () => {
    const helper = await tools.engine.inspectContainer(disksContainer(installation), signal())
    await tools.engine.stopContainer(helper.id, 5, signal())
    await tools.engine.startContainer(helper.id, signal())
    assert.equal((await inWriter('cat /data/row')).stdout, 'precious\n')
    await tools.engine.removeContainer(helper.id, { force: true }, signal())
    await ensureDisks({ ...tools, image, signal: signal() })
    assert.equal((await inWriter('echo alive >> /data/row && cat /data/row')).stdout, 'precious\nalive\n')
  })

  test('mounts again after a reboot, when loop devices and links are gone', async () => {
    const helper = await tools.engine.inspectContainer(disksContainer(installation), signal())
    await tools.engine.removeContainer(writerName, { force: true }, signal())
    // What a reboot does to the host: the kernel forgets the loop devices, and /dev is empty.
    const forget = `losetup --detach "$(readlink /dev/holdfast/${installation}/${diskName})" && rm -r /dev/holdfast/${installation}`
    assert.equal((await tools.engine.exec(helper.id, ['sh', '-c', forget], {}, signal())).exitCode, 0)
    await tools.engine.stopContainer(helper.id, 5, signal())
    await tools.engine.startContainer(helper.id, signal())
    await until(async () => (await disk('list')).stdout.includes(diskName))
    await startWriter()
    assert.equal((await inWriter('cat /data/row')).stdout, 'precious\nalive\n')
  })

  test('is gone when it is removed, twice without harm', async () => {
    await tools.engine.removeContainer(writerName, { force: true }, signal())
    await tools.engine.removeVolume(diskName, signal())
    assert.equal((await disk('remove', diskName)).exitCode, 0)
    assert.equal((await disk('remove', diskName)).exitCode, 0)
    assert.deepEqual(JSON.parse((await disk('list')).stdout), { disks: [] })
    assert.equal((await disk('grow', diskName, String(bytes))).exitCode, 1)
  })

  test('wrong arguments are refused', async () => {
    for (const argv of [['create', '../x', '1000'], ['create', 'x'], ['create', 'x', '-1'], ['frobnicate'], []]) {
      assert.equal((await disk(...argv)).exitCode, 2, argv.join(' '))
    }
    assert.match((await disk('create', 'small', '1000')).stdout, /"error":"TooSmall"/)
  })
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await holds())) {
    if (Date.now() > deadline) assert.fail('not so within 10 s')
    await delay(50)
  }
}
