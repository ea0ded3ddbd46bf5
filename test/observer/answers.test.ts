import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HoldfastError } from '../../src/domain/errors.ts'
import { Answers, type Question } from '../../src/observer/answers.ts'

class HandClock {
  ms = 1_000_000
  now(): Date {
    return new Date(this.ms)
  }
}

interface Asker { readonly question: Question<number>; readonly asked: () => number; fail: Error | null }

function asker(over: Partial<Question<number>> = {}): Asker {
  let count = 0
  const it: Asker = {
    fail: null,
    asked: () => count,
    question: {
      key: 'k', subject: 's', freshMs: 1_000,
      ask: async () => {
        count += 1
        if (it.fail !== null) throw it.fail
        return count
      },
      ...over,
    },
  }
  return it
}

test('an answer is kept while fresh, and asked again when it is old, forgotten, or of another subject', async () => {
  const clock = new HandClock()
  const answers = new Answers<number>(clock)
  const { question, asked } = asker()
  assert.deepEqual(await answers.current(question), { known: true, value: 1, at: new Date(clock.ms) })
  clock.ms += 999
  await answers.current(question)
  assert.equal(asked(), 1)
  clock.ms += 1
  await answers.current(question)
  assert.equal(asked(), 2)
  answers.forget('k')
  await answers.current(question)
  assert.equal(asked(), 3)
  await answers.current({ ...question, subject: 'another run' })
  assert.equal(asked(), 4)
})

test('a failure is unknown with its reason alone, and is asked about again at once', async () => {
  const answers = new Answers<number>(new HandClock())
  const one = asker()
  one.fail = new HoldfastError('MemberUnreachable', 'PostgreSQL on x:1 cannot be asked: nothing listens there', { facts: { reason: 'nothing listens there' } })
  assert.deepEqual(await answers.current(one.question), { known: false, reason: 'nothing listens there' })
  one.fail = null
  assert.equal((await answers.current(one.question)).known, true)
  assert.equal(one.asked(), 2)
})

test('where a question says so, "unknown" is answer enough for a while', async () => {
  const clock = new HandClock()
  const answers = new Answers<number>(clock)
  const one = asker({ retryMs: 500 })
  one.fail = new Error('away')
  await answers.current(one.question)
  await answers.current(one.question)
  assert.equal(one.asked(), 1)
  clock.ms += 500
  await answers.current(one.question)
  assert.equal(one.asked(), 2)
})

test('a question that is being asked is not asked twice, and forgetting meanwhile makes a new one', async () => {
  const answers = new Answers<number>(new HandClock())
  const { question, asked } = asker()
  const [first, second] = [answers.current(question), answers.current(question)]
  answers.forget('k')
  const third = answers.current(question)
  assert.deepEqual((await Promise.all([first, second, third])).map((seen) => seen.known && seen.value), [1, 1, 2])
  assert.equal(asked(), 2)
  assert.equal((await answers.current(question)).known, true)
  assert.equal(asked(), 2)
})

test('the latest answer is given at once and renewed behind; a change is told, the same again is not', async () => {
  const clock = new HandClock()
  const answers = new Answers<{ n: number }>(clock)
  let value = 1
  let changes = 0
  const question = { key: 'k', subject: 's', freshMs: 100, ask: async () => ({ n: value }) }
  const latest = async () => {
    const seen = answers.latest(question, () => { changes += 1 })
    await new Promise(setImmediate)
    return seen
  }
  assert.equal(await latest(), null)
  assert.equal(changes, 1)
  assert.deepEqual(await latest(), { known: true, value: { n: 1 }, at: new Date(clock.ms) })
  clock.ms += 100
  await latest()
  assert.equal(changes, 1)
  value = 2
  clock.ms += 100
  await latest()
  assert.equal(changes, 2)
})

test('answers that nobody wants any more are dropped', async () => {
  const clock = new HandClock()
  const answers = new Answers<number>(clock)
  await answers.current(asker().question)
  answers.dropUnusedSince(clock.ms)
  assert.notEqual(answers.peek('k'), null)
  answers.dropUnusedSince(clock.ms + 1)
  assert.equal(answers.peek('k'), null)
})
