/** What keeps a source from reaching the moment of a restore is told, and does not keep the restore from being tried. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { connectPostgres } from '../../src/clients/postgres.ts'
import type { ObjectStore } from '../../src/clients/s3.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import { Secret } from '../../src/domain/secret.ts'
import { reachMoment } from '../../src/executor/restorePoint.ts'
import { starter } from '../harness/worldStore.ts'

const now = new Date('2026-11-18T12:00:00Z')
const source = starter({ number: 1, name: 'shop', now })
const instanceId = source.instances[0]?.id ?? ''
const segment = '000000010000000000000007'

const answering: typeof connectPostgres = async () => ({
  execute: async () => undefined,
  query: async ({ row }) => [row.parse({ name: segment })],
  usable: true,
  close: () => undefined,
})
const silent: typeof connectPostgres = () => Promise.reject(new HoldfastError('MemberUnreachable', 'connect ECONNREFUSED'))

function reach(connect: typeof connectPostgres, keys: readonly string[], limit = AbortSignal.timeout(10_000)): ReturnType<typeof reachMoment> {
  const tools = { identity: () => ({ certificatePem: '', keyPem: new Secret('') }), clock: { now: () => now }, connect }
  return reachMoment(tools, { store: storeOf(keys), bucket: 'bucket' }, source, instanceId, limit, 0)
}

/** A bucket that holds these keys. */
function storeOf(keys: readonly string[]): ObjectStore {
  const never = (): never => assert.fail('a restore to a moment only lists')
  return {
    listPrefixes: async (_bucket, prefix) => [`${prefix}17-1/`],
    async *listObjects(_bucket, prefix) {
      for (const key of keys) if (key.startsWith(prefix)) yield { key, sizeBytes: 1, modifiedAt: now, etag: '' }
    },
    endpoint: '', ensureBucket: never, headObject: never, putObject: never, getObject: never, deletePrefix: never, close: never,
  }
}

test('nothing is told when the segment that holds the moment is in the archive', async () => {
  assert.deepEqual(await reach(answering, [`lineages/${instanceId}/archive/main/17-1/${segment.slice(0, 16)}/${segment}-abc.zst`]), [])
})

test('a source that does not answer is told with its reason', async () => {
  const [record] = await reach(silent, [])
  assert.ok(record?.kind === 'event')
  assert.deepEqual([record.note.severity, record.note.reason], ['warning', 'SourceNotCaughtUp'])
  assert.match(record.note.message, /the source shop did not answer: connect ECONNREFUSED/)
})

test('a segment that does not reach the store in time is told by its name', async () => {
  const [record] = await reach(answering, [`lineages/${instanceId}/archive/main/17-1/${segment.slice(0, 16)}/000000010000000000000006-abc.zst`])
  assert.ok(record?.kind === 'event')
  assert.match(record.note.message, new RegExp(`${segment} of the source shop did not reach the store`))
})

test('a pass that is over is not taken for a source that does not answer', async () => {
  await assert.rejects(reach(silent, [], AbortSignal.abort(new Error('the pass is over'))), /the pass is over/)
})
