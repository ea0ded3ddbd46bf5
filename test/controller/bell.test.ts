import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { backoffBaseMs, backoffLimitMs, backoffMs } from '../../src/controller/backoff.ts'
import { createBell } from '../../src/controller/bell.ts'
import { createPatience, honestRepeats } from '../../src/controller/patience.ts'
import type { PassResult } from '../../src/controller/pass.ts'

const never = new AbortController().signal
const long = 60_000

async function lasts(nap: Promise<void>): Promise<number> {
  const started = performance.now()
  await nap
  return performance.now() - started
}

describe('a bell', () => {
  it('that was rung while nobody slept ends the next nap at once, and only that one', async () => {
    const bell = createBell()
    bell.ring()
    bell.ring()
    assert.ok(await lasts(bell.nap(long, never)) < 1_000)
    assert.ok(await lasts(bell.nap(60, never)) >= 50)
  })

  it('ends a nap under way', async () => {
    const bell = createBell()
    const nap = bell.nap(long, never)
    setImmediate(() => bell.ring())
    assert.ok(await lasts(nap) < 1_000)
  })

  it('lets nobody sleep who is told to stop, before or during the nap', async () => {
    const bell = createBell()
    assert.ok(await lasts(bell.nap(long, AbortSignal.abort())) < 1_000)
    const stopping = new AbortController()
    const nap = bell.nap(long, stopping.signal)
    setImmediate(() => stopping.abort())
    assert.ok(await lasts(nap) < 1_000)
  })

  it('leaves nothing behind on the signal, however many naps there were', async () => {
    const bell = createBell()
    const { signal } = new AbortController()
    let listeners = 0
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners += 1, add(...args))
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners -= 1, remove(...args))
    for (let nap = 0; nap < 20; nap += 1) await bell.nap(1, signal)
    assert.equal(listeners, 0)
  })
})

describe('backoff', () => {
  it('doubles from its base to its limit, with jitter of a quarter on both sides', () => {
    assert.equal(backoffMs(1, 0.5), backoffBaseMs)
    assert.equal(backoffMs(2, 0.5), backoffBaseMs * 2)
    assert.equal(backoffMs(1_000, 0.5), backoffLimitMs)
    for (const attempts of [0, 1, 5, 100, 1e9]) {
      const middle = backoffMs(attempts, 0.5)
      assert.ok(backoffMs(attempts, 0) >= middle * 0.75 - 1 && backoffMs(attempts, 0.999_999) <= middle * 1.25 + 1)
    }
  })
})

describe('patience', () => {
  const doing = (...actionKinds: PassResult['actionKinds'][number][]): PassResult =>
    ({ settledGeneration: null, conditions: [], members: new Map(), requeueAfterMs: 250, actionKinds, recordKinds: [], waitingFor: [], failure: null })

  it('lets honest work go at its pace and slows down what repeats itself', () => {
    const patience = createPatience(() => 0.5)
    for (let pass = 0; pass < honestRepeats; pass += 1) assert.equal(patience.restMs('a', doing('installFiles')), 0)
    assert.equal(patience.restMs('a', doing('installFiles')), backoffBaseMs)
    assert.equal(patience.restMs('a', doing('installFiles')), backoffBaseMs * 2)
    assert.equal(patience.restMs('b', doing('installFiles')), 0, 'another database is another matter')
  })

  it('is renewed by anything else, and by a pass that changes nothing', () => {
    const patience = createPatience(() => 0.5)
    for (const pause of [doing(), doing('createContainer')]) {
      for (let pass = 0; pass <= honestRepeats; pass += 1) patience.restMs('a', doing('installFiles'))
      assert.equal(patience.restMs('a', pause), 0)
      assert.equal(patience.restMs('a', doing('installFiles')), 0)
    }
  })

  it('does not count a note of who still uses an old password', () => {
    const patience = createPatience(() => 0.5)
    for (let pass = 0; pass < 3 * honestRepeats; pass += 1) assert.equal(patience.restMs('a', { ...doing(), recordKinds: ['credentialSeen'] }), 0)
  })
})
