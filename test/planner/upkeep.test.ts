/** What a running database needs from time to time: room, passwords, certificates; and what pausing and deleting mean. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Secret } from '../../src/domain/secret.ts'
import { unknown } from '../../src/domain/sighting.ts'
import { plan } from '../../src/planner/plan.ts'
import { conditionOf, messageOf, settledShop, type World } from '../harness/world.ts'
import { idOf, withDatabase } from '../harness/worldStore.ts'
import { endOf } from '../harness/worldStory.ts'

const minute = 60_000
const day = 86_400_000

function kindsSince(world: World, from: number): string[] {
  return world.applied.slice(from).map(({ kind }) => kind)
}

describe('storage', () => {
  it('is reported when nearly full, read-only when full, and writable again with room to spare', async () => {
    const { world, shop, parts } = await settledShop()
    const ladder: [number, string, boolean][] = [
      [0.84, 'true EnoughRoom', false], [0.86, 'true NearlyFull', false], [0.94, 'true NearlyFull', false], [0.95, 'false StorageFull', true],
      [0.92, 'false StorageFull', true], [0.89, 'true NearlyFull', false], [0.5, 'true EnoughRoom', false],
    ]
    for (const [share, condition, isReadOnly] of ladder) {
      world.engine.usedShare.set(parts.memberId, share)
      await world.settle()
      assert.equal(conditionOf(world, shop, 'StorageAvailable'), condition, String(share))
      assert.equal(world.engine.volumes.get(parts.dataVolume)?.data?.isReadOnly, isReadOnly, String(share))
    }
    assert.deepEqual(world.events.map(({ reason }) => reason), ['StorageFull', 'StorageAvailable'])
    assert.match(conditionOf(world, shop, 'Ready'), /^true/)
  })

  it('that is nearly full or read-only is looked at more often than once a minute', async () => {
    const { world, shop, parts } = await settledShop()
    const looks: (number | null | undefined)[] = []
    for (const share of [0.5, 0.86, 0.96, 0.92]) {
      world.engine.usedShare.set(parts.memberId, share)
      await world.settle()
      const result = await world.pass(shop)
      looks.push(typeof result === 'object' ? result?.requeueAfterMs : null)
    }
    const [roomy, ...tight] = looks
    assert.ok(typeof roomy === 'number' && roomy > 60_000, `${roomy}`)
    assert.deepEqual(tight.map((ms) => typeof ms === 'number' && ms <= 20_000), [true, true, true], tight.join())
  })

  it('that is full is told once, however often PostgreSQL fails to be made read-only', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.usedShare.set(parts.memberId, 1)
    world.faultAt = (_step, what) => (what === 'setReadOnly' ? 'fail' : 'none')
    await world.passes(5)
    assert.deepEqual(world.events.map(({ reason }) => reason), ['StorageFull'])
    assert.equal(conditionOf(world, shop, 'StorageAvailable'), 'false StorageFull')
  })

  it('grows while PostgreSQL cannot start for want of it', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'pause')
    world.change(shop, (desired) => withDatabase(desired, { storageBytes: 9e9, generation: 2 }))
    await world.passes(2)
    assert.equal(world.engine.volumes.get(parts.dataVolume)?.bytes, 9e9)
    assert.equal(world.get(shop).instances[0]?.members[0]?.volumeBytes, 9e9)
  })
})

describe('a rotated password', () => {
  async function rotated() {
    const shopWorld = await settledShop()
    const { world, shop } = shopWorld
    world.change(shop, (desired) => ({
      ...withDatabase(desired, { generation: 2 }),
      credentials: [
        ...desired.credentials.map((one) => ({ ...one, endsAt: new Date(world.now.getTime() + 10 * minute) })),
        { id: idOf(105), roleName: 'shop_2', password: new Secret('p2'), verifier: new Secret('v2'), createdAt: world.now, endsAt: null, endedAt: null },
      ],
    }))
    await world.settle()
    return { ...shopWorld, roles: () => world.engine.volumes.get(shopWorld.parts.dataVolume)?.data?.roles ?? {} }
  }

  it('works beside the old one until its date, and the old one ends then', async () => {
    const { world, shop, roles } = await rotated()
    assert.deepEqual([roles()['shop_1']?.canLogin, roles()['shop_2']?.canLogin], [true, true])
    world.now = new Date(world.now.getTime() + 9 * minute)
    await world.settle()
    assert.equal(roles()['shop_1']?.canLogin, true)
    world.now = new Date(world.now.getTime() + 2 * minute)
    await world.settle()
    assert.deepEqual([roles()['shop_1']?.canLogin, roles()['shop_2']?.canLogin], [false, true])
    assert.notEqual(world.get(shop).credentials[0]?.endedAt, null)
  })

  it('is looked at as its old one ends, and "who still uses it" does not unsettle the database', async () => {
    const { world, shop, roles } = await rotated()
    const old = roles()['shop_1']
    assert.ok(old)
    old.sessions = 2
    const decided = plan(world.look(shop))
    assert.deepEqual(decided.records.map(({ kind }) => kind), ['credentialSeen'])
    assert.equal(decided.settled, true)
    assert.ok((decided.requeueAfterMs ?? Infinity) <= 30_000)
    const lastMoment = plan({ ...world.look(shop), now: new Date((world.get(shop).credentials[0]?.endsAt?.getTime() ?? 0) - 5) })
    assert.equal(lastMoment.requeueAfterMs, 5)
  })
})

describe('certificates', () => {
  it('are renewed while the old ones are still good, and loaded without a restart of what serves', async () => {
    const { world, shop, parts } = await settledShop()
    const ids = [parts.member, parts.proxy].map((name) => world.engine.containers.get(name)?.id)
    world.now = new Date(world.now.getTime() + 61 * day)
    const from = world.applied.length
    await world.settle()
    assert.deepEqual([parts.member, parts.proxy].map((name) => world.engine.containers.get(name)?.id), ids)
    assert.equal(kindsSince(world, from).filter((kind) => kind === 'installFiles').length, 2)
    for (const { notBefore } of world.get(shop).certificates.values()) assert.ok(notBefore > new Date(world.now.getTime() - day))
    assert.equal(world.engine.containers.get(parts.agent)?.state, 'running', 'the agent came back with its new one')
    assert.match(conditionOf(world, shop, 'CertificatesValid'), /^true/)
  })

  it('are renewed when the authority is followed by another one, in two steps that every party can follow', async () => {
    const { world, shop } = await settledShop()
    world.change(shop, (desired) => ({ ...desired, trustBundlePem: 'ca-1 ca-2' }))
    await world.settle()
    assert.deepEqual([...new Set([...world.get(shop).certificates.values()].map(({ authorityId }) => authorityId))], ['ca-1'])
    world.authorityId = 'ca-2'
    await world.settle()
    assert.deepEqual([...new Set([...world.get(shop).certificates.values()].map(({ authorityId }) => authorityId))], ['ca-2'])
    assert.match(conditionOf(world, shop, 'Ready'), /^true/)
  })

  it('that one side refuses, as after a long absence, are written anew through the engine, which needs none', async () => {
    const { world, shop } = await settledShop()
    const input = world.look(shop)
    const refusing = (distrust: boolean) => {
      const blind = <T>(seen: ReadonlyMap<string, T>) => new Map([...seen.keys()].map((key) => [key, unknown('its certificate has expired', { distrust })]))
      return plan({ ...input, observed: { ...input.observed, postgres: blind(input.observed.postgres), proxies: blind(input.observed.proxies) } })
    }
    assert.deepEqual(refusing(true).actions.map(({ kind }) => kind), ['installFiles', 'installFiles'])
    assert.equal(refusing(true).settled, false)
    assert.deepEqual(refusing(false).actions, [], 'a server that is only away is left alone')
  })

  it('are renewed in time however short their life is, and not more often than that', async () => {
    const { world, shop } = await settledShop()
    world.certificateLifetimeMs = 30_000
    world.now = new Date(world.now.getTime() + 61 * day)
    await world.settle()
    const [begun, from] = [world.now.getTime(), world.steps]
    for (let round = 0; round < 100; round += 1) {
      for (const { notAfter } of world.get(shop).certificates.values()) assert.ok(notAfter > world.now, 'one has expired')
      await world.passes(1)
    }
    const renewals = (world.now.getTime() - begun) / 20_000
    assert.ok(world.steps - from < renewals * 10, `${world.steps - from} steps for ${renewals} renewals`)
  })

  it('that have expired are said to have, and those of what was handed over are not counted', async () => {
    const { world, shop } = await settledShop()
    const [expired] = [...world.get(shop).certificates.values()]
    assert.ok(expired)
    world.change(shop, (desired) => ({ ...desired, certificates: new Map([...desired.certificates, [`agent/${idOf(9_999)}`, { ...expired, notAfter: new Date(0) }]]) }))
    await world.settle()
    assert.match(conditionOf(world, shop, 'CertificatesValid'), /^true/)
    const { conditions } = plan({ ...world.look(shop), now: new Date(world.now.getTime() + 365 * day) })
    const valid = conditions.find(({ type }) => type === 'CertificatesValid')
    assert.deepEqual([valid?.status, valid?.reason], ['false', 'Expired'])
    assert.match(valid?.message ?? '', /a new one is issued/)
  })
})

describe('a paused database', () => {
  it('is observed and reported but never acted on, whatever happens to it, and goes on when resumed', async () => {
    const { world, shop, parts } = await settledShop()
    const end = endOf(world)
    world.change(shop, (desired) => withDatabase(desired, { paused: true, generation: 2 }))
    world.engine.byHand(parts.member, 'kill')
    world.engine.byHand(parts.proxy, 'remove')
    const { steps } = world
    for (let pass = 0; pass < 4; pass += 1) {
      const result = await world.pass(shop)
      assert.ok(result !== null && result !== 'cutShort' && result.settledGeneration === null && result.requeueAfterMs === null)
    }
    assert.equal(world.steps, steps)
    assert.equal(conditionOf(world, shop, 'Paused'), 'true PausedByUser')
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false Paused')
    assert.match(conditionOf(world, shop, 'Ready'), /^false/)
    world.change(shop, (desired) => withDatabase(desired, { paused: false }))
    await world.settle()
    assert.equal(endOf(world), end)
  })

  it('does not move its operation either', async () => {
    const { world, shop } = await settledShop()
    world.startOperation(shop, 'takeOverEndpoint', { fromDatabaseId: idOf(1) })
    world.change(shop, (desired) => withDatabase(desired, { paused: true }))
    await world.passes(3)
    assert.equal(world.get(shop).operation?.phase, 'beginning')
  })
})

describe('a deletion', () => {
  function deleted(world: World, shop: string, finalBackup: boolean, keepDays = 0): void {
    const backupsKeptUntil = new Date(world.now.getTime() + keepDays * day)
    world.change(shop, (desired) => withDatabase(desired, { deletionRequestedAt: world.now, finalBackup, backupsKeptUntil, generation: 2 }))
  }

  it('leaves nothing, and the row goes last', async () => {
    const { world, shop } = await settledShop()
    deleted(world, shop, false)
    await world.settle()
    const { engine } = world
    assert.deepEqual([world.databases.size, engine.containers.size, engine.volumes.size, engine.networks.size, engine.bucket.size], [0, 0, 0, 0, 0])
  })

  it('takes a last backup first, serving meanwhile, and keeps the backups for their time', async () => {
    const { world, shop } = await settledShop()
    deleted(world, shop, true, 30)
    await world.settle()
    assert.equal(world.get(shop).backups[0]?.trigger, 'final')
    assert.equal(world.engine.bucket.size, 1)
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false BackupsKept')
    world.now = new Date(world.now.getTime() + 31 * day)
    await world.settle()
    assert.deepEqual([world.databases.size, world.engine.bucket.size], [0, 0])
  })

  it('of a database whose data are gone says how to delete it all the same', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'remove')
    world.engine.volumes.delete(parts.dataVolume)
    deleted(world, shop, true)
    await world.passes(3)
    assert.equal(conditionOf(world, shop, 'Progressing'), 'false FinalBackupFailed')
    assert.match(messageOf(world, shop, 'Progressing'), /finalBackup = false/)
    assert.equal(conditionOf(world, shop, 'DataMissing'), 'true DataMissing')
    deleted(world, shop, false)
    await world.settle()
    assert.equal(world.databases.size, 0)
  })

  it('stops members cleanly, paused ones too, and waits for what is on its way out', async () => {
    const { world, shop, parts } = await settledShop()
    world.engine.byHand(parts.member, 'pause')
    deleted(world, shop, false)
    const from = world.applied.length
    await world.settle()
    const about = world.applied.slice(from).filter((action) => 'name' in action && action.name === parts.member)
    assert.deepEqual(about.map(({ kind }) => kind), ['stopContainer', 'removeContainer'])
  })

  it('removes a container that a late controller made while the volumes went', async () => {
    const { world, shop, parts } = await settledShop()
    deleted(world, shop, false)
    const proxy = world.engine.containers.get(parts.proxy)
    assert.ok(proxy)
    for (let pass = 0; world.get(shop).database.finalizers[0] !== 'volumes'; pass += 1) {
      assert.ok(pass < 20)
      await world.passes(1)
    }
    world.engine.containers.set(proxy.name, proxy)
    await world.settle()
    assert.deepEqual([world.databases.size, world.engine.containers.size, world.engine.volumes.size], [0, 0, 0])
  })

  it('leaves the project\'s network to the project\'s other databases', async () => {
    const { world, shop } = await settledShop()
    world.add(2, 'copy')
    await world.settle()
    deleted(world, shop, false)
    await world.settle()
    assert.equal(world.engine.networks.size, 1)
  })

  it('waits for an object store that is away before it purges', async () => {
    const { world, shop } = await settledShop()
    deleted(world, shop, false)
    world.engine.isBucketAway = true
    await world.passes(25)
    assert.deepEqual([world.databases.size, world.get(shop).database.finalizers.join()], [1, 'backups'])
    assert.match(messageOf(world, shop, 'Progressing'), /object store to answer/)
    world.engine.isBucketAway = false
    await world.settle()
    assert.equal(world.databases.size, 0)
  })
})
