import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { generateMasterKey, Keyring } from '../../src/domain/keyring.ts'
import { Secret } from '../../src/domain/secret.ts'
import { sealedColumns } from '../../src/store/seal.ts'
import { createStore } from '../../src/store/store.ts'
import { importAuthority, keyPairOf } from './certificateRig.ts'
import { actor, provisioning, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const old = generateMasterKey()
const fresh = generateMasterKey()
const idOf = (key: Secret): string => key.reveal().split(':')[0] ?? ''
const storeWith = (...keys: Secret[]) => createStore({ pool: rig.pool, keyring: Keyring.parse(new Secret(keys.map((key) => key.reveal()).join(','))) })
const [withOld, withBoth, withFresh] = [storeWith(old), storeWith(fresh, old), storeWith(fresh)]

const databaseIds = await populate()

test('every sealed value is sealed anew under the active key, and nothing else opens any more', async () => {
  const before = await secretsOf()
  const total = (await withOld.keys.inUse())[idOf(old)] ?? 0
  assert.ok(total > 60, String(total))
  assert.deepEqual(await withBoth.keys.reseal(), { resealed: total })
  assert.deepEqual(await withBoth.keys.inUse(), { [idOf(fresh)]: total })
  assert.deepEqual(await withBoth.keys.reseal(), { resealed: 0 })
  assert.deepEqual(await secretsOf(), before)
  await assert.rejects(withOld.desired.load(databaseIds[0] ?? ''), withCode('MasterKeyUnknown'))
  assert.ok((await withFresh.desired.load(databaseIds[0] ?? '')) !== null)
})

test('the list of sealed columns is complete: nothing sealed lies in any other', async () => {
  const { rows } = await rig.pool.query<{ table_name: string; column_name: string }>(
    `select table_name, column_name from information_schema.columns where table_schema = 'public' and data_type in ('text', 'jsonb')`,
  )
  const holding: string[] = []
  for (const { table_name: table, column_name: column } of rows) {
    if ((await rig.count(table, `${column}::text ~ '^"?v1\\.k[0-9a-f]{8}\\.'`)) > 0) holding.push(`${table}.${column}`)
  }
  assert.deepEqual(holding.toSorted(), sealedColumns.map(({ table, column }) => `${table}.${column}`).toSorted())
})

async function populate(): Promise<string[]> {
  const authorityId = await importAuthority(withOld)
  const ids: string[] = []
  for (let index = 0; index < 30; index++) {
    const { database } = await withOld.databases.create({ ...provisioning, projectId: rig.projectId, tier: 'starter', name: `sealed-${String(index)}` }, actor)
    ids.push(database.id)
  }
  await withOld.teams.setHa(rig.teamId, true, actor)
  const cluster = await withOld.databases.create({ ...provisioning, projectId: rig.projectId, tier: 'pro', topology: 'ha', name: 'sealed-cluster' }, actor)
  ids.push(cluster.database.id)
  const lease = await withOld.queue.claimOne(ids[0] ?? '', { holder: 'a', leaseSeconds: 60 })
  if (lease === null) throw new Error('leased already')
  const memberId = (await withOld.databases.view(ids[0] ?? '')).instances[0]?.members[0]?.id ?? ''
  await withOld.records.apply(lease, [], [{ purpose: 'member', ownerId: memberId, keyPair: keyPairOf(authorityId, 'm') }])
  return ids
}

async function secretsOf(): Promise<unknown> {
  const all = await Promise.all(databaseIds.map((id) => withBoth.desired.load(id)))
  return all.map((desired) => [
    desired?.credentials.map(({ password, verifier }) => [password.reveal(), verifier.reveal()]),
    desired?.instances.map(({ repository, cluster }) => [repository.cipher.reveal(), cluster?.password.reveal()]),
    [...(desired?.certificates ?? [])].map(([key, { keyPem }]) => [key, keyPem.reveal()]),
  ])
}
