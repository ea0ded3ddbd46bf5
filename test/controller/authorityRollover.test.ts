/** The duty against a real control database, with real authorities: what is trusted and what signs after each of its runs. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { authorityRollover } from '../../src/controller/authorityRollover.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { certificateFacts } from '../../src/pki/x509.ts'
import type { AuthorityRecord, Store } from '../../src/store/store.ts'
import type { Ending } from '../harness/controlDatabase.ts'
import { keyPairOf } from '../store/certificateRig.ts'
import { startRig, withCode, type Rig } from '../store/rig.ts'

const dayMs = 86_400_000
const begin = new Date()
const day = (days: number): Date => new Date(begin.getTime() + days * dayMs)

async function newAuthority(now: Date): Promise<AuthorityRecord> {
  const { certPem: certificatePem, keyPem, notAfter } = await createAuthority({ commonName: 'Holdfast test', validityMs: 120 * dayMs, now })
  return { id: randomUUID(), certificatePem, keyPem, notAfter }
}

interface Scene {
  readonly rig: Rig
  readonly store: Store
  readonly old: AuthorityRecord
  /** Runs the duty on that day; gives the step it took, or null. */
  readonly run: (days: number) => Promise<string | null>
  /** What is trusted, the one that signs first; as positions in the order of their making. */
  readonly trusted: () => Promise<readonly number[]>
}

async function scene(t: Ending): Promise<Scene> {
  const rig = await startRig(t)
  const { store } = rig
  const old = await newAuthority(begin)
  await store.certificates.importIfNone(old)
  const made = [old.id]
  const run = async (days: number): Promise<string | null> => {
    const steps: string[] = []
    const duty = authorityRollover({
      store, clock: { now: () => day(days) }, everySeconds: 60, validityOf: certificateFacts,
      async create(now) {
        const successor = await newAuthority(now)
        made.push(successor.id)
        return successor
      },
      onStep: (kind, id) => steps.push(`${kind} ${made.indexOf(id)}`),
    })
    await duty.run(new AbortController().signal)
    return steps[0] ?? null
  }
  return { rig, store, old, run, trusted: async () => (await store.certificates.trusted()).map(({ id }) => made.indexOf(id)) }
}

/** A pass that finds nothing to do: what counts as having been seen with everything that was known when it began. */
async function settle({ rig, store }: Scene, databaseId: string): Promise<void> {
  const lease = await rig.lease(databaseId)
  await store.queue.release(lease, { dueInMs: 60_000, settledGeneration: 1 })
}

async function certify({ rig, store }: Scene, databaseId: string): Promise<void> {
  const { id } = await store.certificates.active()
  const memberId = (await store.desired.load(databaseId))?.instances[0]?.members[0]?.id ?? assert.fail('there is no member')
  const lease = await rig.lease(databaseId)
  await store.certificates.put(lease, { purpose: 'member', ownerId: memberId, keyPair: keyPairOf(id, 'member') })
  await store.queue.release(lease, { dueInMs: 0 })
}

test('with nothing to certify one authority follows the other step by step', async (t) => {
  const { run, trusted } = await scene(t)
  assert.deepEqual([await run(70), await trusted()], [null, [0]])
  assert.deepEqual([await run(80), await trusted()], ['announce 1', [0, 1]])
  assert.deepEqual([await run(81), await trusted()], [null, [0, 1]])
  assert.deepEqual([await run(101), await trusted()], ['switch 1', [1, 0]])
  assert.deepEqual([await run(101), await trusted()], ['retire 0', [1]])
  assert.deepEqual([await run(101), await trusted()], [null, [1]])
})

test('every database has to be seen after the announcement, and again with what the successor signed', async (t) => {
  const here = await scene(t)
  const { rig, run, trusted } = here
  const ids = await Promise.all(['one', 'two'].map(async (name) => (await rig.create(name)).id))
  for (const id of ids) await certify(here, id)
  for (const id of ids) await settle(here, id)
  assert.equal(await run(80), 'announce 1')
  const [first = '', second = ''] = ids
  await settle(here, first)
  assert.equal(await run(101), null)
  await settle(here, second)
  assert.equal(await run(101), 'switch 1')
  await certify(here, first)
  for (const id of ids) await settle(here, id)
  assert.equal(await run(102), null, 'the second one still has a certificate of the old authority')
  await certify(here, second)
  await rig.store.queue.wake(second)
  assert.equal(await run(102), null, 'the second one was not seen with its new certificate')
  await settle(here, second)
  assert.deepEqual([await run(102), await trusted()], ['retire 0', [1]])
})

test('a pass that began before the announcement does not count, a new database does', async (t) => {
  const here = await scene(t)
  const { rig, store, run } = here
  const { id } = await rig.create('slow')
  const lease = await rig.lease(id)
  assert.equal(await run(80), 'announce 1')
  await store.queue.release(lease, { dueInMs: 0, settledGeneration: 1 })
  assert.equal(await run(101), null)
  await settle(here, id)
  const late = await rig.create('late')
  assert.equal(await run(101), null)
  await settle(here, late.id)
  assert.equal(await run(101), 'switch 1')
})

test('a paused database holds nobody up', async (t) => {
  const here = await scene(t)
  const { rig, run } = here
  const { id } = await rig.create('paused')
  await certify(here, id)
  await rig.pool.query('update databases set paused = true where id = $1', [id])
  assert.deepEqual([await run(80), await run(101)], ['announce 1', 'switch 1'])
  assert.equal(await run(102), null, 'what it shows is still trusted')
})

test('an authority that ended goes with the certificates that it signed, and not before they ended', async (t) => {
  const here = await scene(t)
  const { rig, store, old, run, trusted } = here
  const { id } = await rig.create('forgotten')
  await certify(here, id)
  assert.deepEqual([await run(80), await run(111)], ['announce 1', 'switch 1'])
  await assert.rejects(store.certificates.removeAuthority(old.id), withCode('Conflict'))
  await rig.pool.query(`update certificates set not_before = now() - interval '2 s', not_after = now() - interval '1 s'`)
  assert.deepEqual([await run(121), await trusted()], ['retire 0', [1]])
  assert.equal(await rig.count('certificates'), 0)
})
