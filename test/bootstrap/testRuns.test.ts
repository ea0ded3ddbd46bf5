/** What a test run sweeps: its own and what dead runs left, and nothing that a living run or a user has. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { ensureEngine, type Engine } from '../../src/bootstrap/engine.ts'
import { leftovers, sweep } from '../../src/bootstrap/testRuns.ts'
import { suiteOf } from '../../src/bootstrap/testSuites.ts'
import { label } from '../../src/domain/names.ts'
import { testRun } from '../harness/testRun.ts'

const signal = (): AbortSignal => AbortSignal.timeout(30_000)

describe('a sweep of test runs', () => {
  let engine: Engine
  let deadRun: string
  const made: string[] = []

  before(async () => {
    engine = await ensureEngine({ report: () => undefined, signal: signal() })
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'close')
    deadRun = `t${child.pid}-dead`
  })
  after(async () => {
    for (const name of made) await engine.docker.getVolume(name).remove({ force: true }).catch(() => undefined)
  })

  async function volume(run: string | null): Promise<string> {
    const name = `${testRun}-sweep-${made.length}`
    made.push(name)
    await engine.docker.createVolume({ Name: name, Labels: run === null ? {} : { [label.run]: run } })
    return name
  }

  const namesOf = async (run: string | null): Promise<readonly string[]> => (await leftovers(engine, run)).map(({ name }) => name)

  test('finds what a run whose process is gone has left, and neither a living run’s nor anybody else’s', async () => {
    const [dead, alive, users, unlabelled] = [await volume(`${deadRun}.part`), await volume(`t${process.pid}-alive`), await volume('mine'), await volume(null)]
    const found = await namesOf(null)
    assert.ok(found.includes(dead))
    for (const other of [alive, users, unlabelled]) assert.ok(!found.includes(other), other)
    assert.deepEqual(await namesOf(deadRun), [dead])
    assert.deepEqual(await namesOf(`t${process.pid}`), [], 'a run is not another one whose name begins like it')
    await sweep(engine, await leftovers(engine, deadRun), signal())
    assert.deepEqual(await namesOf(deadRun), [])
  })

  test('ends a controller that outlived its run', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => undefined, 60_000)'], { env: { ...process.env, HOLDFAST_RUN_LABEL: `${deadRun}.service` }, stdio: 'ignore' })
    const closed = once(child, 'close')
    await once(child, 'spawn')
    const left = await leftovers(engine, deadRun)
    assert.deepEqual(left.map(({ kind, name }) => [kind, name]), [['process', String(child.pid)]])
    await sweep(engine, left, signal())
    assert.deepEqual(await closed, [null, 'SIGKILL'])
  })
})

test('every test file belongs to a suite, unless it is of another command', () => {
  const expected: Readonly<Record<string, string | null>> = {
    'test/architecture.test.ts': 'unit', 'test/planner/plan.test.ts': 'unit', 'test/newcomer/x.test.ts': 'unit', 'test/store/queue.test.ts': 'engine',
    'test/e2e/starter.test.ts': 'e2e', 'test/e2e/last/secrets.test.ts': 'e2e', 'test/faults/sample.test.ts': 'faults', 'test/faults/crash.test.ts': null,
    'test/bench/x.test.ts': null, 'test/chaos/x.test.ts': null,
  }
  for (const [file, suite] of Object.entries(expected)) assert.equal(suiteOf(file), suite, file)
})
