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
  assert.deepEqual(place([load('b', 2), load('a', 3), load('c', 2)], 1).members.map(({ name }) => name), ['b'])
})

test('the second proxy is on another host where there is one', () => {
  assert.deepEqual(place([load('a', 5), load('b', 1), load('c', 3)], 1).proxies.map(({ name }) => name), ['b', 'c'])
  assert.deepEqual(place([load('a', 5), load('b', 1, 'lost')], 1).proxies.map(({ name }) => name), ['a', 'a'])
})

test('the members of a cluster are spread over the hosts there are', () => {
  const hostsOf = (...loads: HostLoad[]): string[] => place(loads, 3).members.map(({ name }) => name)
  assert.deepEqual(hostsOf(load('a', 5), load('b', 1), load('c', 3), load('d', 0)), ['d', 'b', 'c'])
  assert.deepEqual(hostsOf(load('a', 5), load('b', 1)), ['b', 'a', 'b'])
  assert.deepEqual(hostsOf(load('a', 5), load('b', 1, 'lost')), ['a', 'a', 'a'])
})

test('without an active host there is no capacity', () => {
  assert.throws(() => place([load('a', 0, 'draining'), load('b', 0, 'lost')], 1), (error) => isHoldfastError(error) && error.code === 'NoCapacity')
  assert.throws(() => place([], 3), (error) => isHoldfastError(error) && error.code === 'NoCapacity')
})

test('only active hosts are chosen, none with fewer members exists, and the order of the input does not matter', () => {
  const loads = fc.uniqueArray(fc.record({ name: fc.string({ minLength: 1, maxLength: 4 }), members: fc.nat(9), state: fc.constantFrom(...states) }), {
    selector: ({ name }) => name, minLength: 1, maxLength: 8,
  })
  fc.assert(fc.property(loads, fc.constantFrom(1, 3), (given, memberCount) => {
    const all = given.map(({ name, members, state }) => load(name, members, state))
    const active = all.filter(({ host }) => host.state === 'active')
    fc.pre(active.length > 0)
    const { members, proxies } = place(all, memberCount)
    const fewest = Math.min(...active.map((each) => each.members))
    assert.equal(all.find(({ host }) => host === members[0])?.members, fewest)
    assert.equal(members.length, memberCount)
    assert.equal(new Set(members).size, Math.min(memberCount, active.length))
    assert.ok(members.every(({ state }) => state === 'active'))
    assert.ok(proxies.every(({ state }) => state === 'active'))
    assert.equal(proxies[0] === proxies[1], active.length === 1)
    assert.deepEqual(place(all.toReversed(), memberCount), { members, proxies })
  }))
})
