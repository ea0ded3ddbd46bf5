import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Host } from '../../src/domain/desired.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { place, type HostLoad } from '../../src/domain/placement.ts'

const states = ['active', 'draining', 'lost'] as const

function load(name: string, members: number, state: Host['state'] = 'active'): HostLoad {
  return { host: { id: `id-${name}`, name, engine: 'unix:///x', privateAddress: '10.0.0.1', publicAddress: '10.0.0.1', state }, members }
}

test('the host with the fewest members is chosen, the first by name among equals', () => {
  assert.equal(place([load('b', 2), load('a', 3), load('c', 2)]).member.name, 'b')
})

test('the second proxy is on another host where there is one', () => {
  assert.deepEqual(place([load('a', 5), load('b', 1), load('c', 3)]).proxies.map(({ name }) => name), ['b', 'c'])
  assert.deepEqual(place([load('a', 5), load('b', 1, 'lost')]).proxies.map(({ name }) => name), ['a', 'a'])
})

test('without an active host there is no capacity', () => {
  assert.throws(() => place([load('a', 0, 'draining'), load('b', 0, 'lost')]), (error) => isHoldfastError(error) && error.code === 'NoCapacity')
  assert.throws(() => place([]), (error) => isHoldfastError(error) && error.code === 'NoCapacity')
})

test('only active hosts are chosen, none with fewer members exists, and the order of the input does not matter', () => {
  const loads = fc.uniqueArray(fc.record({ name: fc.string({ minLength: 1, maxLength: 4 }), members: fc.nat(9), state: fc.constantFrom(...states) }), {
    selector: ({ name }) => name, minLength: 1, maxLength: 8,
  })
  fc.assert(fc.property(loads, (given) => {
    const all = given.map(({ name, members, state }) => load(name, members, state))
    const active = all.filter(({ host }) => host.state === 'active')
    fc.pre(active.length > 0)
    const { member, proxies } = place(all)
    const fewest = Math.min(...active.map(({ members }) => members))
    assert.equal(all.find(({ host }) => host === member)?.members, fewest)
    assert.ok(proxies.every(({ state }) => state === 'active'))
    assert.equal(proxies[0] === proxies[1], active.length === 1)
    assert.deepEqual(place(all.toReversed()), { member, proxies })
  }))
})
