/** The life of a starter database, from the request to the last byte of its backups, as its owner sees it. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { answerOf } from '../../src/client/problem.ts'
import { resourceNames } from '../../src/domain/names.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { caPath, clientContainer, type ClientContainer } from '../harness/clientContainer.ts'
import { everythingOf } from '../harness/containers.ts'
import {
  ask, backupsOf, conditionOf, createDatabase, databaseOf, deleteDatabase, newProject, restored, session, untilBackedUp, untilCondition, untilDatabase,
  untilSettled, withSession, type Made,
} from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { openService, type TestService } from '../harness/service.ts'
import { NotYet, until } from '../harness/waiting.ts'

describe('a starter database', () => {
  const ending = endings()
  let service: TestService
  let projectId: string
  let shop: Made
  let client: ClientContainer

  before(async () => {
    service = await openService(ending)
    projectId = (await newProject(service, 'starter')).projectId
    shop = await createDatabase(service, projectId, { name: 'shop' })
    await untilCondition(service, shop.id, 'Ready', 'true', { limitMs: 90_000 })
    client = await clientContainer(service, projectId)
    ending.after(() => client.remove())
  })

  test('answers on its three ports under a verified certificate, to an owner who is no superuser', async () => {
    await withSession(service, shop, async (rw) => {
      await rw.query('create table orders (id int primary key, item text)')
      await rw.query(`insert into orders select i, 'item ' || i from generate_series(1, 100) as i`)
      assert.equal(await ask(rw, 'show is_superuser'), 'off')
      assert.equal(await ask(rw, 'select pg_get_userbyid(datdba) = current_user from pg_database where datname = current_database()'), 'true')
    })
    for (const port of ['ro', 'pooled'] as const) {
      assert.equal(await withSession(service, shop, (it) => ask(it, 'select count(*) from orders'), { port }), '100', port)
    }
  })

  test('is not reached under another authority, without TLS, or with a wrong password', async () => {
    const other = await createAuthority({ commonName: 'other', validityMs: 3_600_000, now: new Date() })
    for (const port of ['rw', 'ro', 'pooled'] as const) {
      await assert.rejects(session(service, shop, { port, ca: other.certPem }), /certificate/, `${port}, other authority`)
      await assert.rejects(session(service, shop, { port, ca: null }), /no encryption|SSL required|rejects connection|TLS/i, `${port}, plain`)
      await assert.rejects(session(service, shop, { port, password: 'wrong' }), /password authentication failed|SASL/, `${port}, wrong password`)
    }
  })

  test('is reached by a container of its project under its own name, with its certificate verified', async () => {
    for (const port of [5432, 5433, 6432]) {
      const { user, password, database } = shop.login
      const said = await client.psql(`host=shop port=${port} user=${user} dbname=${database} sslmode=verify-full sslrootcert=${caPath}`, 'select count(*) from orders', password)
      assert.equal(said.stdout.trim(), '100', `port ${port}: ${said.stderr}`)
    }
  })

  test('settles: the newest generation is reached, every condition is good, and waiting for it answers', async () => {
    await untilBackedUp(service, shop.id)
    const { settled, database } = await answerOf(service.api.POST('/v1/databases/{id}/reconcile', { params: { path: { id: shop.id } }, body: { wait: true, timeoutMs: 30_000 } }))
    assert.equal(settled, true)
    assert.equal(database.observedGeneration, database.generation)
    // of an idle database no WAL may have reached the archive yet, which is unknown and not bad
    const good = (type: string): readonly string[] => (type === 'WalArchived' ? ['true', 'unknown'] : ['Progressing', 'Paused', 'DataMissing'].includes(type) ? ['false'] : ['true'])
    assert.deepEqual(database.status.conditions.filter(({ type, status }) => !good(type).includes(status)), [])
    assert.equal(database.status.lastError, null)
  })

  test('lets in from outside whom its allow-list names, and a change cuts nobody who is connected', async () => {
    const patch = (allowList: string[]): Promise<unknown> => answerOf(service.api.PATCH('/v1/databases/{id}', { params: { path: { id: shop.id } }, body: { allowList } }))
    const held = await session(service, shop)
    const before = await ask(held, 'select pg_backend_pid()')
    try {
      await patch(['203.0.113.0/24'])
      await untilSettled(service, shop.id)
      for (const port of ['rw', 'ro', 'pooled'] as const) await assert.rejects(session(service, shop, { port }), `${port} lets in who is not named`)
      const { user, password, database } = shop.login
      const inside = await client.psql(`host=shop user=${user} dbname=${database} sslmode=verify-full sslrootcert=${caPath}`, 'select 1', password)
      assert.equal(inside.stdout.trim(), '1', `the private face has no allow-list: ${inside.stderr}`)
      await patch(['203.0.113.0/24', await gateway()])
      await untilSettled(service, shop.id)
      for (const port of ['rw', 'ro', 'pooled'] as const) assert.equal(await withSession(service, shop, (it) => ask(it, 'select 1'), { port }), '1', port)
      await patch(['0.0.0.0/0'])
      await untilSettled(service, shop.id)
      assert.equal(await ask(held, 'select pg_backend_pid()'), before)
    } finally {
      await held.end().catch(() => undefined)
    }
  })

  /** What the endpoint sees of a connection from this machine. */
  async function gateway(): Promise<string> {
    const network = await service.engine.findNetwork(resourceNames(service.config.installation).network(projectId), AbortSignal.timeout(10_000))
    return network?.subnets[0] ?? ''
  }

  test('is not deleted without its name', async () => {
    const { error, response } = await service.api.DELETE('/v1/databases/{id}', { params: { path: { id: shop.id } }, body: { confirmName: 'shap', finalBackup: false } })
    assert.equal(response.status, 409)
    assert.equal(error?.error.code, 'ConfirmationRequired')
    assert.equal((await databaseOf(service, shop.id)).deletion, null)
  })

  test('goes with a last backup and leaves nothing on the engine; its name is free, and its backups can be restored', async () => {
    await withSession(service, shop, (it) => it.query(`insert into orders values (101, 'the last one')`))
    // a network goes with the last database of its project, and only when nobody else is in it
    await client.remove()
    await answerOf(service.api.DELETE('/v1/databases/{id}', { params: { path: { id: shop.id } }, body: { confirmName: 'shop', finalBackup: true, keepBackupsDays: 1 } }))
    const gone = await untilDatabase(service, shop.id, 'only its backups are left', ({ deletion }) => deletion?.removedAt != null, { limitMs: 180_000 })
    assert.deepEqual(gone.deletion?.remaining, ['backups'])
    assert.deepEqual(await everythingOf(service, shop.id), [])
    const last = (await backupsOf(service, shop.id)).find(({ trigger }) => trigger === 'final')
    assert.equal(last?.state, 'verified')
    // the name is free for another, while what is left of the old one can still be brought back under a third
    const namesake = await createDatabase(service, projectId, { name: 'shop' })
    const back = await restored(service, shop, { name: 'shop-back' })
    assert.equal(await withSession(service, back, (it) => ask(it, 'select item from orders where id = 101')), 'the last one')
    await untilCondition(service, namesake.id, 'Ready', 'true')
    await Promise.all([deleteDatabase(service, namesake), deleteDatabase(service, back)])
    await untilGone(namesake.id)
    await untilGone(back.id)
  })

  test('is purged with its backups as soon as they are to be kept no longer', async () => {
    assert.equal(conditionOf(await databaseOf(service, shop.id), 'Progressing')?.reason, 'BackupsKept')
    await deleteDatabase(service, shop)
    await untilGone(shop.id)
    const { response } = await service.api.GET('/v1/databases/{id}/backups', { params: { path: { id: shop.id } } })
    assert.equal(response.status, 404)
  })

  test('leaves no network behind when it was the last of its project', async () => {
    await until('the network is gone', async () => {
      const name = resourceNames(service.config.installation).network(projectId)
      return (await service.engine.findNetwork(name, AbortSignal.timeout(10_000))) === null ? true : new NotYet(name)
    })
  })

  async function untilGone(id: string): Promise<void> {
    await until(`the database ${id} is gone`, async () => {
      const { response, data } = await service.api.GET('/v1/databases/{id}', { params: { path: { id } } })
      return response.status === 404 ? true : new NotYet(JSON.stringify(data?.status.conditions.find(({ type }) => type === 'Progressing')))
    }, { limitMs: 90_000 })
    assert.deepEqual(await everythingOf(service, id), [])
  }
})
