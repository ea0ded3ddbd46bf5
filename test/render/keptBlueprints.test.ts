/** What is remembered of blueprints is what would be rendered anew. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Desired } from '../../src/domain/desired.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createBlueprinter } from '../../src/render/blueprints.ts'
import { keepBlueprints } from '../../src/render/keptBlueprints.ts'
import { sampleDatabase } from '../executor/sample.ts'

const { desired } = await sampleDatabase({
  installation: 'hft', subnet: '10.9.0.0/24', firstPort: 25_000, privateAddress: '172.17.0.1',
  images: { postgres: 'holdfast/postgres:1', haproxy: 'holdfast/haproxy:1' }, now: new Date('2026-03-01T12:00:00Z'),
})
const rendering = createBlueprinter({
  dcs: null,
  installation: 'hft', publicBind: '0.0.0.0',
  objectStore: {
    host: 'objectstore.holdfast.internal', port: 8443, region: 'us-east-1', bucket: 'hft-backups', uriStyle: 'path',
    accessKey: new Secret('AKTEST'), secretKey: new Secret('s3-secret-of-the-store'), caPem: null, address: '172.17.0.1',
  },
})

/** Counts how often there was something to render. */
function counted(most?: number) {
  const renders: string[] = []
  const keeping = keepBlueprints({
    blueprints(from) {
      renders.push(from.database.id)
      return rendering.blueprints(from)
    },
  }, most)
  return { keeping, renders }
}

function withDatabase(change: Partial<Desired['database']>): Desired {
  return { ...desired, database: { ...desired.database, ...change } }
}

test('the same database is rendered once, whatever its passes keep noting', () => {
  const { keeping, renders } = counted()
  const first = keeping.blueprints(desired)
  const noted = withDatabase({ conditions: [{ type: 'Ready', status: 'true', reason: 'Serving', message: 'It serves.', changedAt: new Date() }] })
  assert.equal(keeping.blueprints({ ...noted, certificates: new Map(desired.certificates), backups: [] }), first)
  assert.equal(renders.length, 1)
})

test('every change that a container is made of is rendered', () => {
  const [[key, certificate] = [undefined, undefined]] = desired.certificates
  assert.ok(key !== undefined)
  const changes: Desired[] = [
    withDatabase({ generation: desired.database.generation + 1 }),
    withDatabase({ tier: 'standard' }),
    withDatabase({ allowList: ['192.0.2.0/24'] }),
    { ...desired, trustBundlePem: desired.trustBundlePem + desired.trustBundlePem },
    { ...desired, certificates: new Map([...desired.certificates, [key, { ...certificate, certificatePem: desired.trustBundlePem }]]) },
    { ...desired, instances: desired.instances.map((instance) => ({ ...instance, initialisedAt: new Date() })) },
    { ...desired, hosts: desired.hosts.map((host) => ({ ...host, privateAddress: '172.17.0.2' })) },
    { ...desired, certificates: new Map() },
  ]
  const { keeping, renders } = counted()
  keeping.blueprints(desired)
  for (const changed of changes) assert.deepEqual(keeping.blueprints(changed), rendering.blueprints(changed))
  assert.equal(renders.length, 1 + changes.length)
})

test('so many databases are remembered and no more', () => {
  const { keeping, renders } = counted(2)
  for (const id of ['a', 'b', 'b', 'c', 'b', 'a']) keeping.blueprints(withDatabase({ id }))
  assert.deepEqual(renders, ['a', 'b', 'c', 'a'])
})
