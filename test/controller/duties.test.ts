/** Duties of one controller at a time: due ones are done, failures are told, and none outlives the controller. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDuties, type Duty, type DutyOptions } from '../../src/controller/duties.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import type { DutyLease } from '../../src/store/store.ts'

interface Seen {
  readonly done: { readonly name: string; readonly code: string | null }[]
  readonly troubles: string[]
}

function start(t: TestContext, duties: readonly Duty[], mayClaim: (name: string) => boolean = () => true): Seen & { stop(): Promise<void> } {
  const seen: Seen = { done: [], troubles: [] }
  const store: DutyOptions['store'] = {
    duties: {
      claim: async (name, { holder }): Promise<DutyLease | null> => (mayClaim(name) ? { name, holder, epoch: 1, until: new Date(), lastRunAt: null, now: new Date() } : null),
      renew: async (duty) => duty,
      done: async ({ name }, result) => void seen.done.push({ name, code: result?.error?.code ?? null }),
    },
  }
  const running = startDuties({ store, holder: 'test', duties, trouble: (message) => void seen.troubles.push(message) })
  t.after(() => running.stop())
  return { ...seen, stop: () => running.stop() }
}

function duty(name: string, run: Duty['run']): Duty {
  return { name, everySeconds: 60, timeoutSeconds: 5, run }
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!isSo()) {
    assert.ok(Date.now() < deadline)
    await sleep(2)
  }
}

describe('duties', () => {
  it('are done when they are due, also after another one has failed', async (t) => {
    const { done, troubles } = start(t, [
      duty('failing', async () => Promise.reject(new HoldfastError('ObjectStoreUnavailable', 'away'))),
      duty('working', async () => undefined),
    ])
    await until(() => done.length === 2)
    assert.deepEqual(done, [{ name: 'failing', code: 'ObjectStoreUnavailable' }, { name: 'working', code: null }])
    assert.deepEqual(troubles, ['the duty failing failed'])
  })

  it('of another controller, or not due yet, are left alone', async (t) => {
    const { done } = start(t, [duty('theirs', async () => assert.fail()), duty('ours', async () => undefined)], (name) => name === 'ours')
    await until(() => done.length === 1)
    assert.deepEqual(done.map(({ name }) => name), ['ours'])
  })

  it('end when the controller stops', async (t) => {
    let began = false
    const duties = start(t, [duty('long', async (signal) => {
      began = true
      await sleep(60_000, undefined, { signal })
    })])
    await until(() => began)
    const stopped = performance.now()
    await duties.stop()
    assert.ok(performance.now() - stopped < 2_000)
  })
})
