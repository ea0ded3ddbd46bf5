/**
 * Walks every run of a small cluster under the shipped verdict, procedure and transaction, and finds no acknowledged write lost; takes
 * one rule out at a time, and finds one. EXPLORER_WRITES says how often etcd may be written in one run (5: a few seconds).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { explore } from './explore.ts'
import type { GuardPlan, Rule } from './guard.ts'
import type { World } from './patroni.ts'

const mostRevisions = Number(process.env['EXPLORER_WRITES'] ?? 5)

const strict: World = { mode: 'strict', foreignWalsender: true, freezes: false, dies: false }
const quorum: World = { ...strict, mode: 'quorum' }
const failing = { freezes: true, dies: true }

function plan(kind: GuardPlan['kind'], ...without: Rule[]): GuardPlan {
  return { kind, without: new Set(without) }
}

/** `releases`: whether the key goes at all, so that a model which does not move is not taken for one in which nothing is lost. */
type Case = readonly [title: string, world: World, guards: readonly GuardPlan[], releases?: boolean]

const safe: readonly Case[] = [
  ['a lost host, strict, whatever L does', strict, [plan('hostLost')]],
  ['the same without the block: it is there for speed', strict, [plan('hostLost', 'detach')]],
  ['a lost host, quorum: the guard leaves it to the lease', quorum, [plan('hostLost')], false],
  ['a leader that dies or freezes, strict', { ...strict, ...failing }, [plan('container')]],
  ['a leader that dies or freezes, quorum', { ...quorum, ...failing }, [plan('container')]],
  ['two guards at once over a leader that dies or freezes', { ...strict, ...failing }, [plan('container'), plan('container')]],
  // A has no x in this model, so the move goes back whenever there is one, and where there is none nothing is walked further
  ['a planned move, strict', strict, [plan('move')], false],
  ['a planned move, quorum', quorum, [plan('move')], false],
]

/** A second guard doubles the depth of every run: two writes of etcd less are walked in the same time. */
const safeShallow: readonly Case[] = [
  ['two guards at once over a lost host', strict, [plan('hostLost'), plan('hostLost')]],
]

const lossy: readonly Case[] = [
  ['/sync is not compared', strict, [plan('hostLost', 'syncCompare')]],
  ['/sync is not put again', strict, [plan('hostLost', 'syncPutAgain')]],
  ['/sync is put before the key is deleted', strict, [plan('hostLost', 'deleteBeforePut')]],
  ['quorum does not wait, and nobody is detached', quorum, [plan('hostLost', 'quorumWaits', 'detach')]],
  ['quorum does not wait for proof of death', { ...quorum, ...failing }, [plan('container', 'proofOfDeath')]],
  ['a move in quorum mode does not ask what the candidate has', quorum, [plan('move', 'candidateHasAll')]],
]

suite('no acknowledged write is lost', () => {
  for (const one of safe) walkSafe(one, mostRevisions)
  for (const one of safeShallow) walkSafe(one, mostRevisions - 2)
})

suite('a lost write is found when a rule is missing', () => {
  for (const [title, world, guards] of lossy) {
    test(title, () => {
      const { lost } = explore({ world, guards, mostRevisions })
      assert.ok(lost !== null, 'the rule is not missed: either it is not needed, or the explorer does not see far enough')
      assert.equal(lost.at(-1) === 'A is promoted' || lost.at(-1) === 'L acknowledges x', true, lost.join('\n'))
    })
  }
})

function walkSafe([title, world, guards, releases = true]: Case, revisions: number): void {
  test(title, (t) => {
    const { lost, states, released } = explore({ world, guards, mostRevisions: revisions })
    assert.equal(lost, null, `a write is lost:\n${lost?.join('\n') ?? ''}`)
    assert.equal(released, releases, 'whether the key goes at all')
    t.diagnostic(`${states} states`)
  })
}
