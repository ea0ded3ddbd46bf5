import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { rolloverStep, switchTime, type AuthorityFacts, type RolloverFacts, type RolloverStep } from '../../src/planner/authority.ts'

const dayMs = 86_400_000
const born = new Date('2026-01-01T00:00:00Z')
const day = (days: number): Date => new Date(born.getTime() + days * dayMs)
const authority = (id: string, from: number, state: AuthorityFacts['state'] = 'trusted', lifeDays = 120): AuthorityFacts =>
  ({ id, state, notBefore: day(from), notAfter: day(from + lifeDays) })

interface Row {
  readonly title: string
  readonly authorities: readonly AuthorityFacts[]
  readonly unsettled?: true
  readonly inUse?: readonly string[]
  readonly at: number
  readonly step: RolloverStep | null
}

const old = authority('old', 0, 'active')
const next = authority('next', 81)
const switched = [authority('next', 81, 'active'), authority('old', 0)]

const rows: readonly Row[] = [
  { title: 'there is none yet', authorities: [], at: 0, step: null },
  { title: 'the active one is young', authorities: [old], inUse: ['old'], at: 79, step: null },
  { title: 'a successor is due after two thirds of its life, settled or not', authorities: [old], unsettled: true, at: 80, step: { kind: 'announce' } },
  { title: 'one successor is enough, and customers have time to fetch it', authorities: [old, next], at: 99, step: null },
  { title: 'a database has not been seen with the successor', authorities: [old, next], unsettled: true, inUse: ['old'], at: 109, step: null },
  { title: 'every database holds the successor', authorities: [old, next], inUse: ['old'], at: 100, step: { kind: 'switch', authorityId: 'next' } },
  { title: 'a database that never settles is waited for until a twelfth is left', authorities: [old, next], unsettled: true, at: 110, step: { kind: 'switch', authorityId: 'next' } },
  { title: 'the old one signed something in use', authorities: switched, inUse: ['old', 'next'], at: 101, step: null },
  { title: 'what it signed was replaced, but not seen in its place', authorities: switched, unsettled: true, inUse: ['next'], at: 101, step: null },
  { title: 'nothing of the old one is left', authorities: switched, inUse: ['next'], at: 101, step: { kind: 'retire', authorityId: 'old' } },
  { title: 'the old one has ended, whoever still shows what it signed', authorities: switched, unsettled: true, inUse: ['old'], at: 120, step: { kind: 'retire', authorityId: 'old' } },
  { title: 'nobody looked for years: first a successor', authorities: [old], at: 4_000, step: { kind: 'announce' } },
  { title: 'nobody looked for years: it signs at once', authorities: [old, authority('late', 4_000)], unsettled: true, at: 4_000, step: { kind: 'switch', authorityId: 'late' } },
  { title: 'a successor that ended before its turn', authorities: [old, authority('brief', 81, 'trusted', 10)], inUse: ['old'], at: 92, step: { kind: 'retire', authorityId: 'brief' } },
]

for (const { title, authorities, unsettled, inUse = [], at, step } of rows) {
  test(`${title}: ${step === null ? 'nothing to do' : step.kind}`, () => {
    assert.deepEqual(rolloverStep({ authorities, everythingSettled: unsettled !== true, inUse: new Set(inUse) }, day(at)), step)
  })
}

const facts = fc.uniqueArray(fc.record({ from: fc.integer({ min: 0, max: 300 }), life: fc.integer({ min: 1, max: 200 }) }), { selector: ({ from }) => from, minLength: 1, maxLength: 4 })
  .chain((lives) => fc.record({
    authorities: fc.integer({ min: 0, max: lives.length - 1 }).map((active) => lives.map(({ from, life }, index) => authority(String(from), from, index === active ? 'active' : 'trusted', life))),
    everythingSettled: fc.boolean(),
    inUse: fc.subarray(lives.map(({ from }) => String(from))).map((ids) => new Set(ids)),
    at: fc.integer({ min: 0, max: 500 }),
  }))

test('whatever is there, the active one is never retired, the next is never older and never ended, and what is in use is trusted until it ends', () => {
  fc.assert(fc.property(facts, ({ at, ...given }) => {
    const step = rolloverStep(given, day(at))
    if (step === null || step.kind === 'announce') return
    const about = given.authorities.find(({ id }) => id === step.authorityId) ?? assert.fail('it is about an authority that is not there')
    const active = given.authorities.find(({ state }) => state === 'active') ?? assert.fail('there is no active one')
    assert.notEqual(about, active)
    const ended = about.notAfter <= day(at)
    if (step.kind === 'switch') assert.ok(about.notBefore > active.notBefore && !ended && day(at) >= switchTime(active))
    else assert.ok(ended || (given.everythingSettled && !given.inUse.has(about.id)))
  }))
})

interface World extends RolloverFacts {
  readonly step: RolloverStep | null
}

const begin: World = { authorities: [old], everythingSettled: true, inUse: new Set(['old']), step: null }

/** One look of the duty; where databases settle, they all hold certificates of the one that signs. */
function look({ authorities, inUse: before }: World, at: number, everythingSettled: boolean): World {
  const active = authorities.find(({ state }) => state === 'active')
  const inUse = everythingSettled && active !== undefined ? new Set([active.id]) : before
  const step = rolloverStep({ authorities, everythingSettled, inUse }, day(at))
  return { authorities: step === null ? authorities : taken(authorities, step, at), everythingSettled, inUse, step }
}

function taken(authorities: readonly AuthorityFacts[], step: RolloverStep, at: number): readonly AuthorityFacts[] {
  switch (step.kind) {
    case 'announce':
      return [...authorities, authority(`of day ${String(at)}`, at)]
    case 'switch':
      return authorities.map((one) => ({ ...one, state: one.id === step.authorityId ? 'active' : 'trusted' }))
    case 'retire':
      return authorities.filter(({ id }) => id !== step.authorityId)
  }
}

test('over years with a look a day, one that signs is always alive, and there are never more than two', () => {
  fc.assert(fc.property(fc.array(fc.boolean(), { minLength: 500, maxLength: 500 }), (answers) => {
    let world = begin
    for (const [at, settles] of answers.entries()) {
      world = look(world, at, settles)
      const active = world.authorities.filter(({ state }) => state === 'active')
      assert.equal(active.length, 1)
      assert.ok((active[0]?.notAfter ?? born) > day(at) && world.authorities.length <= 2)
    }
  }), { numRuns: 50 })
})

test('when every look is answered the whole roll-over happens once a life', () => {
  let world = begin
  const steps: string[] = []
  for (let at = 0; at < 120; at += 1) {
    world = look(world, at, true)
    if (world.step !== null) steps.push(`${world.step.kind} on day ${String(at)}`)
  }
  assert.deepEqual(steps, ['announce on day 80', 'switch on day 100', 'retire on day 101'])
})
