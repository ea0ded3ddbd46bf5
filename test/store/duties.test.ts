import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { duties, controlBackups, installation } = rig.store
const by = (holder: string) => ({ holder, leaseSeconds: 60 })

test('one controller at a time has a duty', async () => {
  const claims = await Promise.all(['a', 'b', 'c'].map((holder) => duties.claim('single', by(holder))))
  assert.equal(claims.filter((claim) => claim !== null).length, 1)
})

test('who lost a duty can neither renew nor end it', async () => {
  const old = await duties.claim('lost', by('a'))
  assert.ok(old !== null)
  await rig.pool.query(`update duties set lease_until = now() where name = 'lost'`)
  const current = await duties.claim('lost', by('b'))
  assert.equal(current?.epoch, old.epoch + 1)
  await assert.rejects(duties.renew(old, 60), withCode('LeaseLost'))
  await assert.rejects(duties.done(old), withCode('LeaseLost'))
  assert.ok(current !== null && (await duties.renew(current, 120)).until > current.until)
})

test('a duty that was done rests, one that failed is due at once', async () => {
  const hourly = { ...by('a'), everySeconds: 3_600 }
  const first = await duties.claim('hourly', hourly)
  assert.ok(first !== null && first.lastRunAt === null)
  await duties.done(first, { error: { code: 'JobFailed', message: 'no' } })
  const second = await duties.claim('hourly', hourly)
  assert.ok(second !== null && second.lastRunAt === null)
  await duties.done(second)
  assert.equal(await duties.claim('hourly', hourly), null)
  assert.ok((await duties.claim('hourly', by('b')))?.lastRunAt instanceof Date)
})

test('backups of the control database are listed newest first, each object once', async () => {
  const first = await controlBackups.add({ objectKey: 'control/1', bytes: 10, verified: false })
  await controlBackups.add({ objectKey: 'control/2', bytes: 20, verified: true })
  const again = await controlBackups.add({ objectKey: 'control/1', bytes: 11, verified: true })
  assert.equal(again.id, first.id)
  assert.deepEqual((await controlBackups.list()).map(({ objectKey, bytes }) => [objectKey, bytes]), [['control/2', 20], ['control/1', 11]])
  await controlBackups.remove(first.id)
  assert.equal((await controlBackups.list()).length, 1)
})

test('a control database belongs to one installation', async () => {
  await installation.ensure('holdfast')
  await installation.ensure('holdfast')
  await assert.rejects(installation.ensure('other'), withCode('Conflict'))
})
