/** A backup from request to read-back, and everything that may go wrong with it on the way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { maxAttempts } from '../../src/planner/backups.ts'
import { conditionOf, messageOf, settledShop, type World } from '../harness/world.ts'
import { idOf, newBackup, withDatabase } from '../harness/worldStore.ts'

const day = 86_400_000

async function request(world: World, shop: string, instanceId: string): Promise<void> {
  world.change(shop, (desired) => ({ ...desired, backups: [newBackup(desired, { instanceId, backup: 'full', trigger: 'manual' }, world.now, idOf(77)), ...desired.backups] }))
}

async function until(world: World, shop: string, state: string): Promise<void> {
  for (let pass = 0; pass < 150 && world.get(shop).backups[0]?.state !== state; pass += 1) await world.passes(1)
  assert.equal(world.get(shop).backups[0]?.state, state)
}

function jobs(world: World): string[] {
  return [...world.engine.containers.keys()].filter((name) => name.includes('-job-'))
}

describe('a backup', () => {
  it('counts when it was taken, verified and read back, and leaves no job behind', async () => {
    const { world, shop, parts } = await settledShop()
    await request(world, shop, parts.instanceId)
    await world.settle()
    const [backup] = world.get(shop).backups
    assert.deepEqual([backup?.state, backup?.attempt, backup?.label, backup?.repositoryBytes], ['verified', 1, 'set-2', 1])
    assert.deepEqual(jobs(world), [])
    const kinds = world.applied.map(({ kind }) => kind).filter((kind) => kind !== 'removeContainer')
    assert.deepEqual(kinds.slice(-4), ['startJob', 'startJob', 'readBackBackup', 'expireBackups'])
  })

  it('whose job somebody removed is tried again under a new name', async () => {
    const { world, shop, parts } = await settledShop()
    await request(world, shop, parts.instanceId)
    await until(world, shop, 'running')
    world.engine.byHand(jobs(world)[0] ?? '', 'remove')
    await world.settle()
    const [backup] = world.get(shop).backups
    assert.deepEqual([backup?.state, backup?.attempt], ['verified', 2])
    assert.deepEqual(world.events.map(({ reason }) => reason), ['BackupAttemptFailed'])
  })

  it('is tried again after a rest, each time longer, and fails for good after the last attempt', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.failJobs = { kind: 'backup', times: 9 }
    await request(world, shop, parts.instanceId)
    const begun = world.now.getTime()
    await until(world, shop, 'failed')
    assert.ok(world.now.getTime() - begun >= 75_000, 'it rested between attempts')
    assert.equal(world.get(shop).backups[0]?.attempt, maxAttempts)
    assert.deepEqual(world.events.map(({ reason }) => reason), ['BackupAttemptFailed', 'BackupAttemptFailed', 'BackupFailed'])
    await world.settle()
    assert.equal(conditionOf(world, shop, 'BackupsHealthy'), 'false LastBackupFailed')
    assert.match(messageOf(world, shop, 'BackupsHealthy'), /told to fail.*request one/)
    assert.deepEqual(jobs(world), [])
  })

  it('that cannot be verified is taken once more', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.failJobs = { kind: 'verify', times: 1 }
    await request(world, shop, parts.instanceId)
    await world.settle()
    const [backup] = world.get(shop).backups
    assert.deepEqual([backup?.state, backup?.attempt, backup?.label], ['verified', 2, 'set-3'])
  })

  it('waits for an object store that is away, before it begins and before it is read back', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.isBucketAway = true
    await request(world, shop, parts.instanceId)
    await world.passes(5)
    assert.equal(world.get(shop).backups[0]?.state, 'requested')
    assert.equal(conditionOf(world, shop, 'WalArchived'), 'false StoreUnreachable')
    world.engine.isBucketAway = false
    await until(world, shop, 'verifying')
    await world.passes(4)
    world.engine.isBucketAway = true
    const before = world.applied.length
    await world.passes(3)
    assert.deepEqual(world.applied.slice(before).filter(({ kind }) => kind === 'readBackBackup'), [])
    world.engine.isBucketAway = false
    await world.settle()
    assert.equal(world.get(shop).backups[0]?.state, 'verified')
  })

  it('that was not found in the store is a failure, not a success', async () => {
    const { world, shop, parts } = await settledShop()
    await request(world, shop, parts.instanceId)
    await until(world, shop, 'verifying')
    await world.passes(1)
    world.faultAt = (_step, what) => {
      if (what === 'readBackBackup') world.engine.bucket.clear()
      return 'none'
    }
    await world.settle()
    assert.equal(world.get(shop).backups[0]?.state, 'failed')
    assert.equal(conditionOf(world, shop, 'BackupsHealthy'), 'false LastBackupFailed')
  })

  it('whose job hangs is given up after a day', async () => {
    const { world, shop, parts } = await settledShop()
    await request(world, shop, parts.instanceId)
    await until(world, shop, 'running')
    const job = world.engine.containers.get(jobs(world)[0] ?? '')
    assert.ok(job)
    const { job: work } = job
    job.job = null
    job.state = 'paused'
    job.job = work
    world.now = new Date(world.now.getTime() + 25 * 3_600_000)
    await world.passes(1)
    assert.deepEqual([world.get(shop).backups[0]?.state, world.get(shop).backups[0]?.attempt, world.get(shop).backups[0]?.failure?.code], ['requested', 2, 'JobHung'])
    assert.deepEqual(jobs(world), [])
  })

  it('whose job was made but never started is started', async () => {
    const { world, shop, parts } = await settledShop()
    world.faultAt = (_step, what) => (what === 'startJob' ? 'dieHalfway' : 'none')
    await request(world, shop, parts.instanceId)
    await world.passes(1)
    assert.equal(world.engine.containers.get(jobs(world)[0] ?? '')?.state, 'created')
    world.faultAt = () => 'none'
    await world.settle()
    assert.deepEqual([world.get(shop).backups[0]?.state, world.get(shop).backups[0]?.attempt], ['verified', 1])
  })
})

describe('the schedule', () => {
  it('takes a full backup a week and an incremental one a day', async () => {
    const { world, shop } = await settledShop()
    for (let hour = 0; hour < 15 * 24; hour += 1) {
      world.now = new Date(world.now.getTime() + 3_600_000)
      await world.settle()
      assert.match(conditionOf(world, shop, 'BackupsHealthy'), /^true/)
    }
    const scheduled = world.get(shop).backups.filter(({ trigger }) => trigger === 'scheduled')
    assert.deepEqual(scheduled.map(({ requestedAt }) => requestedAt.getUTCHours()).filter((hour) => hour !== 2 && hour !== 3), [])
    assert.deepEqual(scheduled.map(({ kind, requestedAt }) => `${requestedAt.getUTCDay()}${kind[0]}`).reverse().join(' '), '4i 5i 6i 0f 1i 2i 3i 4i 5i 6i 0f 1i 2i 3i 4i')
  })

  it('catches up once after a long downtime', async () => {
    const { world, shop } = await settledShop()
    world.now = new Date(world.now.getTime() + 10 * day)
    await world.settle()
    await world.passes(10)
    assert.deepEqual(world.get(shop).backups.map(({ kind, trigger }) => `${kind} ${trigger}`), ['full scheduled', 'full initial'])
  })

  it('may be overridden by the settings', async () => {
    const { world, shop } = await settledShop()
    world.schedule = { ...world.schedule, full: '0 0 1 1 *', incremental: '*/10 * * * *' }
    await world.settle()
    world.now = new Date(world.now.getTime() + 600_000)
    await world.settle()
    assert.deepEqual(world.get(shop).backups.map(({ kind }) => kind), ['incremental', 'full'])
  })

  it('is late when its backup is not there two hours after it was due, and says why', async () => {
    const { world, shop } = await settledShop()
    world.engine.isBucketAway = true
    world.now = new Date('2026-11-22T04:30:00Z')
    await world.passes(3)
    assert.equal(conditionOf(world, shop, 'BackupsHealthy'), 'false BackupLate')
    assert.match(messageOf(world, shop, 'BackupsHealthy'), /due at 2026-11-22T02:00:00.000Z was not taken: it does not answer/)
  })
})

describe('a replication slot that was lost', () => {
  it('is dropped once, told once, and followed by a full backup', async () => {
    const { world, shop, parts } = await settledShop()
    const data = world.engine.volumes.get(parts.dataVolume)?.data
    assert.ok(data)
    data.slot = 'lost'
    await world.settle()
    assert.equal(data.slot, 'reserved')
    assert.deepEqual(world.events.map(({ reason }) => reason), ['WalGap'])
    const [backup] = world.get(shop).backups
    assert.deepEqual([backup?.kind, backup?.trigger, backup?.state, backup?.attempt], ['full', 'scheduled', 'verified', 1])
    assert.equal(world.applied.filter(({ kind }) => kind === 'dropSlot').length, 1)
  })

  for (const state of ['requested', 'running', 'verifying'] as const) {
    it(`while a backup is ${state} is closed by a backup that began after it`, async () => {
      const { world, shop, parts } = await settledShop()
      await request(world, shop, parts.instanceId)
      await until(world, shop, state)
      const data = world.engine.volumes.get(parts.dataVolume)?.data
      assert.ok(data)
      data.slot = 'lost'
      const lostAt = world.now
      await world.settle()
      assert.equal(data.slot, 'reserved')
      assert.deepEqual(jobs(world), [])
      assert.equal(world.events.filter(({ reason }) => reason === 'WalGap').length, 1)
      const [backup] = world.get(shop).backups
      assert.equal(backup?.state, 'verified')
      assert.ok(state === 'verifying' ? (backup?.requestedAt ?? lostAt) >= lostAt : (backup?.startedAt ?? lostAt) >= lostAt)
    })
  }
})

describe('a deletion', () => {
  it('waits for a last backup that failed, says so, and goes on when the next one succeeds', async () => {
    const { world, shop } = await settledShop()
    world.engine.failJobs = { kind: 'backup', times: maxAttempts }
    world.change(shop, (desired) => withDatabase(desired, { deletionRequestedAt: world.now, generation: 2, backupsKeptUntil: new Date(world.now.getTime() + 30 * day) }))
    await until(world, shop, 'failed')
    await world.passes(2)
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false FinalBackupFailed')
    assert.match(messageOf(world, shop, 'Progressing'), /finalBackup = false/)
    assert.match(conditionOf(world, shop, 'Ready'), /^true/, 'it serves meanwhile')
    await world.passes(60)
    assert.equal(world.get(shop).database.finalizers[0], 'backups')
    assert.deepEqual(world.get(shop).backups.map(({ trigger, state }) => `${trigger} ${state}`), ['final verified', 'final failed', 'initial verified'])
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false BackupsKept')
  })
})
