/** The public answer: what each condition says of what was seen, and that it says what happens next. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { conditionTypes, type ConditionType } from '../../src/domain/conditions.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import type { PostgresSeen } from '../../src/domain/observed.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { walSlotName } from '../../src/domain/prepared.ts'
import { known, unknown } from '../../src/domain/sighting.ts'
import { plan } from '../../src/planner/plan.ts'
import { conditionOf, settledShop, type ShopParts } from '../harness/world.ts'
import { withDatabase } from '../harness/worldStore.ts'

function said(input: PlanInput, type: ConditionType): string {
  const found = plan(input).conditions.find((one) => one.type === type)
  return `${found?.status} ${found?.reason}`
}

/** The same world, but for what the member's server says. */
function withServer(input: PlanInput, { memberId }: ShopParts, patch: Partial<PostgresSeen>): PlanInput {
  const seen = input.observed.postgres.get(memberId)
  assert.ok(seen?.known)
  return { ...input, observed: { ...input.observed, postgres: new Map([[memberId, known({ ...seen.value, ...patch }, seen.at)]]) } }
}

describe('conditions', () => {
  it('are all there, each once, with a sentence', async () => {
    const { world, shop } = await settledShop()
    const { conditions } = plan(world.look(shop))
    // what only a cluster has is said of clusters only
    assert.deepEqual(conditions.map(({ type }) => type).sort(), conditionTypes.filter((type) => type !== 'ReplicationHealthy' && type !== 'RollbackReady').sort())
    for (const { reason, message } of conditions) {
      assert.match(reason, /^[A-Z][A-Za-z]+$/)
      assert.match(message, /^[A-Z].*\.$/s)
    }
  })

  it('say of a server in recovery that it accepts no writes, and nothing is prepared in it', async () => {
    const { world, shop, parts } = await settledShop()
    const input = withServer(world.look(shop), parts, { inRecovery: true, preparedVersion: null, roles: [] })
    assert.equal(said(input, 'PrimaryAvailable'), 'false InRecovery')
    assert.deepEqual(plan(input).actions, [])
  })

  it('say of a database that is not prepared yet that it is not ready', async () => {
    const { world, shop, parts } = await settledShop()
    assert.equal(said(withServer(world.look(shop), parts, { databases: ['postgres'] }), 'Ready'), 'false Preparing')
  })

  it('call storage unknown while nobody has measured it', async () => {
    const { world, shop, parts } = await settledShop()
    assert.equal(said(withServer(world.look(shop), parts, { storage: null }), 'StorageAvailable'), 'unknown NotMeasured')
  })
})

describe('the archive', () => {
  const segment = 16 * 1024 * 1024

  async function archive(patch: Partial<PostgresSeen>, file: string | null, ageSeconds: number): Promise<string> {
    const { world, shop, parts } = await settledShop()
    const input = withServer(world.look(shop), parts, patch)
    const newestAt = file === null ? null : new Date(input.now.getTime() - ageSeconds * 1_000)
    const archives = new Map([[parts.instanceId, known({ newestWalFile: file, newestAt }, input.now)]])
    return said({ ...input, observed: { ...input.observed, archives } }, 'WalArchived')
  }

  const third = '000000010000000000000003'

  it('is behind when finished WAL waits for long, and not when the database is merely idle', async () => {
    assert.equal(await archive({ lsn: parseLsn('0/4000000') }, third, 3_600), 'true Archiving')
    assert.equal(await archive({ lsn: parseLsn('0/5000000') }, third, 3_600), 'false Behind')
    assert.equal(await archive({ lsn: parseLsn('0/5000000') }, third, 60), 'true Archiving')
    assert.equal(await archive({ lsn: parseLsn('1/4000000') }, '0000000100000001000000FF', 3_600), 'true Archiving', 'an archive that is ahead of what was seen')
  })

  it('is behind when a lot of WAL is held back for it', async () => {
    const slot = { name: walSlotName, active: false, walStatus: 'extended', retainedBytes: 20 * segment }
    assert.equal(await archive({ slots: [slot] }, third, 1), 'false Behind')
  })

  it('is not known to work before anything is in it', async () => {
    assert.equal(await archive({}, null, 0), 'unknown NothingYet')
  })

  it('receives nothing without its agent, or its slot', async () => {
    assert.equal(await archive({ roles: [] }, third, 1), 'false NobodyReceives')
    assert.equal(await archive({ slots: [] }, third, 1), 'false NobodyReceives')
  })
})

describe('a plan', () => {
  it('replaces everything for new images, one disruption after the other', async () => {
    const { world, shop, parts } = await settledShop()
    const before = [parts.member, parts.proxy].map((name) => world.engine.containers.get(name)?.id)
    world.change(shop, (desired) => withDatabase(desired, { images: { postgres: 'postgres:2', haproxy: 'haproxy:2' }, generation: 2 }))
    const first = plan(world.look(shop))
    // the proxy first: it is to hold the clients while the server is replaced
    assert.deepEqual(first.actions.map((action) => ('name' in action ? [action.kind, action.name] : action.kind)), [['stopContainer', parts.proxy]])
    assert.match(first.waitingFor.join(), /before its server is replaced/)
    // the world itself holds that no pass does two
    await world.settle()
    const after = [parts.member, parts.proxy].map((name) => world.engine.containers.get(name)?.id)
    assert.ok(before.every((id, index) => id !== after[index]))
    assert.match(conditionOf(world, shop, 'Ready'), /^true/)
  })

  it('keeps agent and backups going while roles cannot be prepared', async () => {
    const { world, shop, parts } = await settledShop()
    world.change(shop, (desired) => ({ ...desired, credentials: desired.credentials.map((one) => ({ ...one, roleName: 'other' })) }))
    world.engine.byHand(parts.agent, 'remove')
    world.faultAt = (_step, what) => (what === 'prepareDatabase' ? 'fail' : 'none')
    await world.passes(4)
    assert.equal(world.engine.containers.get(parts.agent)?.state, 'running')
  })

  it('looks again soon after every change, whatever it was', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.usedShare.set(parts.memberId, 0.99)
    const full = plan(world.look(shop))
    assert.deepEqual(full.actions.map(({ kind }) => kind), ['setReadOnly'])
    assert.ok(full.requeueAfterMs !== null && full.requeueAfterMs <= 1_000)
    const fresh = world.look(shop)
    const desired = { ...fresh.desired, instances: fresh.desired.instances.map((one) => ({ ...one, initialisedAt: null, systemIdentifier: null })) }
    const initialised = plan({ ...fresh, desired, observed: { ...fresh.observed, proxies: new Map([...fresh.observed.proxies.keys()].map((key) => [key, unknown('busy')])) } })
    assert.ok(initialised.records.some(({ kind }) => kind === 'instanceInitialised') && initialised.requeueAfterMs !== null)
  })
})
