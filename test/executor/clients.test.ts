import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdClients } from '../../src/executor/clients.ts'
import { sampleDatabase } from './sample.ts'

/** Reserved: nobody listens there. */
const firstPort = 1

test('a proxy that cannot be told is an event and keeps nothing from being done; a caller that gives up is heard', async () => {
  const { desired, controller } = await sampleDatabase({
    installation: 'lab', subnet: '10.0.0.0/24', firstPort, privateAddress: '127.0.0.1', images: { postgres: 'postgres:1', haproxy: 'haproxy:1' }, now: new Date(),
  })
  const { records } = await holdClients({ identity: () => controller }, desired, AbortSignal.timeout(10_000))
  assert.deepEqual(records.map((one) => (one.kind === 'event' ? [one.note.severity, one.note.reason] : one.kind)), [['warning', 'ClientsNotHeld']])
  await assert.rejects(holdClients({ identity: () => controller }, desired, AbortSignal.abort()), { name: 'AbortError' })
  assert.deepEqual(await holdClients({ identity: () => controller }, { ...desired, endpoint: null }, AbortSignal.timeout(10_000)), { records: [] })
})
